//! One exchange, and its file in the format of recordings.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use aws_smithy_eventstream::frame::read_message_from;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::scrub;
use crate::{frame, operation::Operation};

/// The headers of an answer that are kept. `x-amzn-bedrock-…` are kept too.
const HEADERS: [&str; 5] = ["content-type", "date", "retry-after", "x-amzn-errortype", "x-amzn-requestid"];

/// The most recordings of a model and an operation.
const MOST: u32 = 100_000;

/// An exchange with Bedrock.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) operation: Operation,
    pub(super) model_id: String,
    /// The path of the request.
    pub(super) path: String,
    pub(super) request: Bytes,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// What was received of the body, and the lengths of the chunks in which it came.
    pub(super) body: Vec<u8>,
    pub(super) chunks: Vec<usize>,
}

impl Exchange {
    /// The recording, without what identifies the account.
    fn json(&self) -> Value {
        let body = scrub::body(&Bytes::copy_from_slice(&self.body));
        let events: Vec<Value> = frame::split(body.clone()).into_iter().map_while(event).collect();
        let request: Value =
            serde_json::from_str(&scrub::text(&String::from_utf8_lossy(&self.request))).unwrap_or_default();
        json!({
            "operation": self.operation.name(), "model_id": scrub::text(&self.model_id), "request": request,
            "response": {
                "status": self.status, "headers": headers(&self.headers), "body_base64": BASE64_STANDARD.encode(&body),
                "transport_chunk_lengths": self.chunks,
            },
            "events": events,
        })
    }

    /// The folder and the start of the name of its file.
    fn name(&self) -> (&'static str, String) {
        let model = self.model_id.rsplit('/').next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        (self.operation.path(), model.chars().map(|c| if is_plain(c) { c } else { '-' }).collect())
    }
}

/// The headers that a recording has.
fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let is_kept = |name: &str| HEADERS.contains(&name) || name.starts_with("x-amzn-bedrock-");
    let kept = headers.iter().filter(|(name, _)| is_kept(name.as_str()));
    kept.filter_map(|(name, value)| Some((name.to_string(), scrub::text(value.to_str().ok()?)))).collect()
}

/// A frame as the decoder of the SDK reads it. `None` if it is not one.
fn event(mut bytes: Bytes) -> Option<Value> {
    let message = read_message_from(&mut bytes).ok()?;
    let mut event = json!({"payload": serde_json::from_slice::<Value>(message.payload()).unwrap_or_default()});
    for header in message.headers() {
        if let Ok(value) = header.value().as_string() {
            event[header.name().as_str().trim_start_matches(':').replace('-', "_")] = value.as_str().into();
        }
    }
    let inner = event["payload"]["bytes"].as_str().and_then(|inner| BASE64_STANDARD.decode(inner).ok());
    if let Some(inner) = inner.and_then(|inner| serde_json::from_slice::<Value>(&inner).ok()) {
        event["inner"] = inner;
    }
    Some(event)
}

/// Writes an exchange to a new file in the folder: `OPERATION/MODEL-NUMBER.json`.
pub(super) fn save(into: &Path, exchange: &Exchange) -> io::Result<PathBuf> {
    let (folder, model) = exchange.name();
    let folder = into.join(folder);
    fs::create_dir_all(&folder)?;
    let text = serde_json::to_string_pretty(&exchange.json())?;
    for number in 1..=MOST {
        let path = folder.join(format!("{model}-{number:03}.json"));
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())?;
                file.write_all(b"\n")?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {MOST} recordings of {model}")))
}
