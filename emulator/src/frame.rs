//! Encodes and decodes `application/vnd.amazon.eventstream` frames as Bedrock does.
//!
//! The encoder is the SDK's. The order of headers is Bedrock's.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::script::Step;

/// The characters of Bedrock's padding, in the order in which it uses them.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The bytes before the headers: total length, header length, checksum of both.
const PRELUDE: usize = 12;

/// An event frame. `pad` is the position of the frame, from which the length of its padding follows.
pub(crate) fn event(event_type: &str, payload: &Value, pad: Option<usize>) -> Bytes {
    let mut payload = payload.clone();
    if let (Some(pad), Value::Object(members)) = (pad, &mut payload) {
        members.insert("p".to_owned(), PADDING[..=(pad * 17) % PADDING.len()].into());
    }
    let headers = [(":event-type", event_type), (":content-type", "application/json"), (":message-type", "event")];
    encode(&headers, payload.to_string())
}

/// An event frame of InvokeModelWithResponseStream around one native chunk.
pub(crate) fn chunk(inner: &Value, pad: Option<usize>) -> Bytes {
    event("chunk", &json!({"bytes": BASE64_STANDARD.encode(inner.to_string())}), pad)
}

/// An exception frame.
pub(crate) fn exception(exception_type: &str, message: &str) -> Bytes {
    let headers =
        [(":exception-type", exception_type), (":content-type", "application/json"), (":message-type", "exception")];
    encode(&headers, json!({"message": message}).to_string())
}

/// A frame with `:message-type: error`.
pub(crate) fn error(code: &str, message: &str) -> Bytes {
    encode(&[(":error-code", code), (":error-message", message), (":message-type", "error")], String::new())
}

/// The start of a frame that declares this total length. Its checksum is right, so only the length is wrong.
pub(crate) fn declaring(total: u32) -> Bytes {
    let mut frame = event("contentBlockDelta", &json!({}), None).to_vec();
    frame[..4].copy_from_slice(&total.to_be_bytes());
    let checksum = crc32fast::hash(&frame[..8]);
    frame[8..PRELUDE].copy_from_slice(&checksum.to_be_bytes());
    frame.into()
}

/// Makes the checksum of a frame again, whose payload was changed.
pub(crate) fn seal(frame: &mut [u8]) {
    if let Some((content, checksum)) = frame.split_last_chunk_mut() {
        *checksum = crc32fast::hash(content).to_be_bytes();
    }
}

/// Splits bytes at the frame boundaries that they declare. An incomplete frame is the last part.
pub(crate) fn split(mut bytes: Bytes) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some(total) = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) {
        if total < PRELUDE || total > bytes.len() {
            break;
        }
        frames.push(bytes.split_to(total));
    }
    if !bytes.is_empty() {
        frames.push(bytes);
    }
    frames
}

/// The step that a frame is. `None` if it is damaged, or the frame of no step.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Step> {
    let message = read_message_from(&mut bytes).ok()?;
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        Some(found.value().as_string().ok()?.as_str().to_owned())
    };
    let mut payload: Value = serde_json::from_slice(message.payload()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(exception_type) = header(":exception-type") {
        return Some(Step::Exception { exception_type, message: text(&payload["message"]) });
    }
    if let Some(code) = header(":error-code") {
        return Some(Step::Error { code, message: header(":error-message").unwrap_or_default() });
    }
    let event_type = header(":event-type")?;
    if event_type == "chunk" {
        let inner = BASE64_STANDARD.decode(text(&payload["bytes"])).ok()?;
        return Some(Step::Chunk(serde_json::from_slice(&inner).ok()?));
    }
    if let Some(members) = payload.as_object_mut() {
        members.remove("p");
    }
    Some(Step::Event { event_type, payload })
}

fn encode(headers: &[(&'static str, &str)], payload: String) -> Bytes {
    let header =
        |(name, value): &(&'static str, &str)| Header::new(*name, HeaderValue::String(value.to_string().into()));
    let message = Message::new_from_parts(headers.iter().map(header).collect(), payload);
    let mut bytes = Vec::new();
    // Fails only for headers over 32 KiB or payloads over 24 MiB. Such a frame is empty, which the client notices.
    if write_message_to(&message, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_decode_with_the_official_decoder() {
        let mut bytes = event("messageStart", &json!({"role": "assistant"}), Some(3));
        let message = read_message_from(&mut bytes).unwrap();
        assert_eq!(message.headers()[0].value().as_string().unwrap().as_str(), "messageStart");
        let payload: Value = serde_json::from_slice(message.payload()).unwrap();
        assert_eq!(payload["role"], "assistant");
        assert!(PADDING.starts_with(payload["p"].as_str().unwrap()));
    }

    #[test]
    fn split_finds_the_frames_and_keeps_the_rest() {
        let (one, two) = (exception("a", "b"), error("c", "d"));
        let joined: Bytes = [&one[..], &two[..], &[0, 0]].concat().into();
        assert_eq!(split(joined), [one, two, Bytes::from_static(&[0, 0])]);
    }
}
