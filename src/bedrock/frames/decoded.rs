//! A message that the SDK's decoder has decoded, as a frame.

use aws_smithy_types::{event_stream::Message, str_bytes::StrBytes};

use super::Frame;
use crate::error::{Error, corrupt};

/// What the headers of a message say it is.
pub(super) fn frame(message: &Message) -> Result<Frame, Error> {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok()
    };
    let required = |name: &str| header(name).ok_or_else(|| corrupt(format!("a frame lacks the header {name}")));
    // A frame without :message-type is identified by its other header.
    let implied = || {
        let types = [(":event-type", "event"), (":exception-type", "exception")];
        types.into_iter().find(|(name, _)| header(name).is_some()).map(|(_, implied)| implied)
    };
    let message_type = header(":message-type").map(StrBytes::as_str).or_else(implied);
    let payload = message.payload().clone();
    let text = |value: &StrBytes| value.as_str().to_owned();
    match message_type.ok_or_else(|| corrupt("a frame lacks the header :message-type"))? {
        "event" => Ok(Frame::Event { event_type: required(":event-type")?.clone(), payload }),
        "exception" => Ok(Frame::Exception { exception_type: text(required(":exception-type")?), payload }),
        "error" => Ok(Frame::Error {
            code: header(":error-code").map(text).unwrap_or_default(),
            message: header(":error-message").map(text).unwrap_or_default(),
        }),
        other => Err(corrupt(format!("a frame has the unknown :message-type {other:?}"))),
    }
}
