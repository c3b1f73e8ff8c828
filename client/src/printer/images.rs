//! Saves the images of an answer. The names come from the id of the call and a number, and no file is replaced.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::proto::{ErrorBlock, ImageDelta, image_source::Source};

/// The formats of Bedrock, which are the endings of names too.
const FORMATS: [&str; 4] = ["png", "jpeg", "gif", "webp"];

/// The images of an answer.
#[derive(Debug)]
pub(crate) struct Images {
    /// `None`: images are not saved.
    folder: Option<PathBuf>,
    image: Option<Image>,
    /// How many names have been tried.
    number: u32,
}

#[derive(Debug, Default)]
struct Image {
    format: String,
    bytes: Vec<u8>,
    /// Where it is, if its bytes are not sent.
    location: String,
    problem: String,
}

impl Images {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, image: None, number: 0 }
    }

    pub(super) fn begin(&mut self, format: String) {
        self.image = Some(Image { format, ..Image::default() });
    }

    pub(super) fn add(&mut self, delta: ImageDelta) {
        let image = self.image.get_or_insert_default();
        if let Some(ErrorBlock { message }) = delta.error {
            image.problem.push_str(&message);
        }
        match delta.source.and_then(|source| source.source) {
            Some(Source::Bytes(bytes)) => image.bytes.extend_from_slice(&bytes),
            Some(Source::S3Location(location)) => image.location = location.uri,
            None => {}
        }
    }

    /// Saves the image, if there is one. Returns a note about it.
    pub(super) fn end(&mut self, generation_id: &str) -> Option<String> {
        let image = self.image.take()?;
        let format = if FORMATS.contains(&image.format.as_str()) { &image.format } else { "image" };
        if image.bytes.is_empty() {
            let reason = [&image.location, &image.problem].into_iter().find(|text| !text.is_empty());
            return Some(format!("image: {}", reason.map_or("it has no content", String::as_str)));
        }
        let length = image.bytes.len();
        let Some(folder) = self.folder.clone() else {
            return Some(format!("image: {format}, {length} bytes, not saved. Name a folder with --images FOLDER"));
        };
        Some(match self.save(&folder, generation_id, format, &image.bytes) {
            Ok(path) => format!("image {}: {length} bytes", path.display()),
            Err(error) => format!("image: {length} bytes, cannot be saved in {}: {error}", folder.display()),
        })
    }

    fn save(&mut self, folder: &Path, generation_id: &str, format: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let id: String = generation_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        loop {
            self.number += 1;
            let path = folder.join(format!("outcrop-{id}-{}.{format}", self.number));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => return file.write_all(bytes).map(|()| path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && self.number < 10_000 => {}
                Err(error) => return Err(error),
            }
        }
    }
}
