//! Constructors for the two ways in which a stream from Bedrock can be incomplete.

use std::fmt::Display;

use super::{Error, Reason};

/// The bytes from Bedrock are damaged. `what` says where.
pub(crate) fn corrupt(what: impl Display) -> Error {
    Error::new(
        Reason::UpstreamCorrupt,
        format!(
            "the stream from Bedrock is damaged: {what}. Try again; if it persists, check the proxies between Bedrock and the server"
        ),
    )
}

/// The stream from Bedrock ended before its terminal event. `what` says how.
pub(crate) fn truncated(what: impl Display) -> Error {
    Error::new(
        Reason::UpstreamTruncated,
        format!(
            "the stream from Bedrock ended before the message was complete: {what}. What was sent is not the complete answer"
        ),
    )
}
