//! An error after content: an exception frame of the service model, after which the stream ends.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    edge::bedrock_api::refusal,
    error::{Error, Reason},
    request::relayed::Operation,
};

/// The exceptions that both streams have.
const OF_BOTH: [&str; 5] = [
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "serviceUnavailableException",
];

/// The exception for a time that has passed, which ConverseStream does not have.
const TIMEOUT: &str = "modelTimeoutException";

/// An answer that is damaged, was cut, or that the model did not complete.
const STREAM_ERROR: &str = "modelStreamErrorException";

/// The exception of an error in the stream of an operation.
fn exception(error: &Error, operation: Operation) -> &'static str {
    let is_known = |name: &&&str| **name != TIMEOUT || operation == Operation::InvokeModelWithResponseStream;
    let all = OF_BOTH.iter().chain([&TIMEOUT]);
    // What Bedrock said stays as it is.
    let own = all.filter(is_known).find(|name| name.eq_ignore_ascii_case(error.exception()));
    if let Some(own) = own {
        return own;
    }
    match (refusal::exception(error.reason()).1, error.reason()) {
        (_, Reason::UpstreamTruncated | Reason::UpstreamCorrupt) => STREAM_ERROR,
        ("ThrottlingException" | "ModelNotReadyException", _) => "throttlingException",
        ("ServiceUnavailableException", _) => "serviceUnavailableException",
        ("InternalServerException", _) => "internalServerException",
        ("ModelTimeoutException", _) if operation == Operation::InvokeModelWithResponseStream => TIMEOUT,
        ("ModelTimeoutException" | "ModelErrorException", _) => STREAM_ERROR,
        _ => "validationException",
    }
}

/// The frame of an error.
pub(super) fn frame(error: &Error, operation: Operation) -> Bytes {
    let (name, message) = (exception(error, operation), refusal::message(error));
    let mut payload = Map::new();
    payload.insert("message".to_owned(), message.clone().into());
    if name == STREAM_ERROR {
        let metadata = |name| error.metadata(name);
        let status = metadata("original_status_code").and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| refusal::exception(error.reason()).0);
        let original = metadata("original_message").map_or(message, str::to_owned);
        payload.insert("originalStatusCode".to_owned(), json!(status));
        let original = format!("{}: {original}", error.reason().name());
        payload.insert("originalMessage".to_owned(), original.into());
    }
    let header = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(Value::Object(payload).to_string())
        .add_header(header(":message-type", "exception"))
        .add_header(header(":exception-type", name))
        .add_header(header(":content-type", "application/json"));
    let mut bytes = Vec::new();
    // Only headers and payloads beyond the format's limits cannot be written; these are short.
    match write_message_to(&message, &mut bytes) {
        Ok(()) => bytes.into(),
        Err(_) => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_gets_exceptions_that_its_model_has() {
        use Operation::{ConverseStream, InvokeModelWithResponseStream};
        for row in crate::error::TABLE {
            let error = Error::new(row.reason, "why");
            assert!(OF_BOTH.contains(&exception(&error, ConverseStream)), "{}", row.name);
            let of_invoke = exception(&error, InvokeModelWithResponseStream);
            assert!(OF_BOTH.contains(&of_invoke) || of_invoke == TIMEOUT, "{}", row.name);
        }
        let timeout = Error::new(Reason::ModelTimeout, "why").with_exception(TIMEOUT);
        assert_eq!(exception(&timeout, InvokeModelWithResponseStream), TIMEOUT);
        assert_eq!(exception(&timeout, ConverseStream), STREAM_ERROR);
        let cut = Error::new(Reason::UpstreamTruncated, "why");
        assert_eq!(exception(&cut, ConverseStream), STREAM_ERROR);
        let text = String::from_utf8_lossy(&frame(&cut, ConverseStream)).into_owned();
        assert!(text.contains(r#""originalMessage":"UPSTREAM_TRUNCATED: why""#), "{text}");
    }
}
