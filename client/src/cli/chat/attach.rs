//! Reads a file as a content block: an image, a document, or text.

use std::{fs, path::Path};

use crate::proto::{
    ContentBlock, DocumentBlock, DocumentSource, ImageBlock, ImageSource, content_block::Block, document_source,
    image_source,
};

/// The largest file, in bytes. The server takes requests of 32 MiB, unless it is configured otherwise.
const MAX_FILE: u64 = 30 << 20;

/// The formats of documents in Bedrock, which are the endings of their files.
const DOCUMENTS: [&str; 9] = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];

/// A file that goes with the next prompt.
pub(super) struct Attached {
    pub(super) block: ContentBlock,
    pub(super) description: String,
}

/// Reads a file. `number` makes the name of a document different from those of others in its message, as Bedrock demands.
pub(super) fn read(path: &Path, number: usize) -> Result<Attached, String> {
    let problem = |error: &dyn std::fmt::Display| format!("cannot attach {}: {error}", path.display());
    let length = fs::metadata(path).map_err(|error| problem(&error))?.len();
    if length > MAX_FILE {
        return Err(problem(&format!("it has {length} bytes; at most {MAX_FILE} can be sent")));
    }
    let bytes = fs::read(path).map_err(|error| problem(&error))?;
    if bytes.is_empty() {
        return Err(problem(&"it is empty"));
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let image = match ending.as_str() {
        "jpg" => Some("jpeg"),
        "png" | "jpeg" | "gif" | "webp" => Some(ending.as_str()),
        _ => None,
    };
    if let Some(format) = image {
        let source = Some(ImageSource { source: Some(image_source::Source::Bytes(bytes.into())) });
        let block = Block::Image(ImageBlock { format: format.to_owned(), source, error: None });
        return Ok(Attached {
            block: ContentBlock { block: Some(block) },
            description: format!("image, {length} bytes"),
        });
    }
    let format = match ending.as_str() {
        "htm" => "html",
        known if DOCUMENTS.contains(&known) => known,
        _ if std::str::from_utf8(&bytes).is_ok() => "txt",
        _ => {
            return Err(problem(
                &"it is not a text, and its ending is none of an image or a document that models read",
            ));
        }
    };
    let document = DocumentBlock {
        format: format.to_owned(),
        name: name(path, number),
        source: Some(DocumentSource { source: Some(document_source::Source::Bytes(bytes.into())) }),
        ..DocumentBlock::default()
    };
    let description = format!("document {:?}, {format}, {length} bytes", document.name);
    Ok(Attached { block: ContentBlock { block: Some(Block::Document(document)) }, description })
}

/// A neutral name of the characters that Bedrock takes.
fn name(path: &Path, number: usize) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let clean = |character: char| if character.is_ascii_alphanumeric() { character } else { ' ' };
    let words: String = stem.chars().take(100).map(clean).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = if words.is_empty() { "document" } else { &words };
    if number == 0 { words.to_owned() } else { format!("{words} ({})", number + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_only_what_bedrock_takes_and_differ() {
        assert_eq!(name(Path::new("/tmp/My_report--2.v1.pdf"), 0), "My report 2 v1");
        assert_eq!(name(Path::new("é.pdf"), 2), "document (3)");
    }

    #[test]
    fn a_file_is_an_image_a_document_or_text_and_otherwise_refused() {
        let folder = std::env::temp_dir().join(format!("outcrop-client-attach-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let block = |file: &str, bytes: &[u8]| {
            let path = folder.join(file);
            fs::write(&path, bytes).unwrap();
            read(&path, 0).map(|attached| attached.block.block.unwrap())
        };
        let blocks = [
            block("a.JPG", b"\xff\xd8"),
            block("b.pdf", b"%PDF"),
            block("c.rs", b"fn main() {}"),
            block("d.bin", b"\xff\x00"),
            block("e.png", b""),
        ];
        fs::remove_dir_all(&folder).unwrap();
        let [image, document, text, binary, empty] = blocks;
        assert!(matches!(image, Ok(Block::Image(image)) if image.format == "jpeg"));
        assert!(matches!(document, Ok(Block::Document(document)) if document.format == "pdf"));
        assert!(matches!(text, Ok(Block::Document(document)) if document.format == "txt"));
        assert!(binary.unwrap_err().contains("not a text") && empty.unwrap_err().contains("empty"));
    }
}
