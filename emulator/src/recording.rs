//! Recorded HTTP exchanges with the real Bedrock, replayed byte for byte.
//!
//! A file is one exchange in JSON: `operation`, `model_id`, `request`, `response` (`status`, `headers`, `body_base64`, optionally
//! `transport_chunk_lengths`) and `events`, the frames as another decoder read them. Tests compare the received events with `events`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::{
    LoadError,
    script::{Delivery, Refusal, Script, Step},
};

/// One recorded exchange.
#[derive(Clone, Debug, Deserialize)]
pub struct Recording {
    /// The path below the folder, without `.json`.
    #[serde(skip)]
    pub name: String,
    /// The Bedrock operation, such as `ConverseStream`.
    pub operation: String,
    /// The model, if it was recorded.
    #[serde(default)]
    pub model_id: Option<String>,
    /// The body of the request.
    #[serde(default)]
    pub request: Value,
    /// The response of Bedrock.
    pub response: Response,
    /// The frames as another decoder read them.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// The response of Bedrock.
#[derive(Clone, Debug, Deserialize)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(rename = "body_base64", deserialize_with = "from_base64")]
    pub body: Vec<u8>,
    /// The lengths of the transport chunks in which the body arrived.
    #[serde(default)]
    pub transport_chunk_lengths: Option<Vec<usize>>,
}

/// A frame as another decoder read it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// `:event-type`.
    #[serde(default)]
    pub event_type: Option<String>,
    /// `:exception-type`.
    #[serde(default)]
    pub exception_type: Option<String>,
    /// The payload.
    #[serde(default)]
    pub payload: Value,
    /// The JSON inside a native chunk.
    #[serde(default)]
    pub inner: Value,
}

impl Recording {
    /// The exchange as a script that sends the same bytes in the same transport chunks.
    pub fn script(&self) -> Script {
        let Response { status, headers, body, transport_chunk_lengths } = &self.response;
        // HTTP sets these for the new response.
        let mut headers = headers.clone();
        headers
            .retain(|name, _| !["connection", "content-length", "date", "transfer-encoding"].contains(&name.as_str()));
        if *status >= 300 {
            let body = String::from_utf8_lossy(body).into_owned();
            let refusal = Refusal { status: *status, exception: None, body: Some(body), message: String::new() };
            return Script { refuse: Some(refusal), headers, ..Script::default() };
        }
        let delivery = transport_chunk_lengths.clone().map_or(Delivery::Frames, Delivery::Lengths);
        Script { steps: vec![Step::Bytes(body.clone())], headers, delivery, ..Script::default() }
    }
}

/// Reads every recording below a folder, in the order of their names.
///
/// # Errors
/// If the folder or a file cannot be read, or a file is not a recording.
pub fn load(folder: &Path) -> Result<Vec<Recording>, LoadError> {
    files(folder)?
        .into_iter()
        .map(|(name, path)| {
            let text = fs::read_to_string(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
            let parsed: Recording = serde_json::from_str(&text).map_err(|source| LoadError::Parse { path, source })?;
            Ok(Recording { name, ..parsed })
        })
        .collect()
}

/// The `*.json` files below a folder with their names: the path below the folder, without `.json`.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, LoadError> {
    fn walk(root: &Path, folder: &Path, into: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, into)?;
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
                into.insert(name.to_string_lossy().into_owned(), path);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found).map_err(|source| LoadError::Read { path: folder.to_owned(), source })?;
    Ok(found)
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}
