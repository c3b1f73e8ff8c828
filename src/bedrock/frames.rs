//! Decodes a response body into event-stream frames, within AWS's maximum size.
//!
//! The decoder is the SDK's. The prelude is checked as soon as it has arrived, because with a damaged length the decoder would wait for bytes
//! that never come.

#[cfg(test)]
pub(crate) mod paced;
#[cfg(any(fuzzing, test))]
pub(crate) mod pieces;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::{body::SdkBody, event_stream::Message};
use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio_stream::Stream;

use crate::error::{Error, corrupt, truncated};

/// Total length, header length, and the checksum of both.
const PRELUDE: usize = 12;

/// The shortest frame: a prelude and the checksum of the message.
const SHORTEST: usize = 16;

/// The longest frame that AWS sends.
const LONGEST: usize = 16 << 20;

/// The longest body that is no event stream. Those of models that make images have some MiB.
const WHOLE: usize = 64 << 20;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An event.
    Event {
        /// `:event-type`.
        event_type: String,
        /// The payload: JSON.
        payload: Bytes,
    },
    /// An exception that the service model knows.
    Exception {
        /// `:exception-type`.
        exception_type: String,
        /// The payload: JSON.
        payload: Bytes,
    },
    /// A failure outside the service model.
    Error {
        /// `:error-code`.
        code: String,
        /// `:error-message`.
        message: String,
    },
    /// A body that is no event stream, and that has arrived to its end.
    Whole(Bytes),
}

/// The frames of one response body.
#[derive(Debug)]
pub(crate) struct Frames {
    /// `None` after its end or a failure, so that the connection is released.
    body: Option<SdkBody>,
    buffer: BytesMut,
    received: u64,
    longest: usize,
    /// Whether the body is one answer and no event stream.
    is_whole: bool,
    /// The bytes of the last frame, until they are taken.
    last: Bytes,
}

impl Frames {
    pub(crate) fn new(body: SdkBody) -> Self {
        Self {
            body: Some(body),
            buffer: BytesMut::new(),
            received: 0,
            longest: LONGEST,
            is_whole: false,
            last: Bytes::new(),
        }
    }

    /// A body that is no event stream. It is one frame.
    pub(crate) fn whole(body: SdkBody) -> Self {
        Self { is_whole: true, longest: WHOLE, ..Self::new(body) }
    }

    /// The bytes of the last frame, as they arrived.
    pub(crate) fn take_last(&mut self) -> Bytes {
        std::mem::take(&mut self.last)
    }

    /// The number of bytes received, including those of an incomplete frame.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Stops reading and releases the connection.
    pub(crate) fn close(&mut self) {
        self.body = None;
        self.buffer = BytesMut::new();
        self.is_whole = false;
    }

    /// Refuses frames longer than this from now on.
    pub(crate) fn at_most(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Removes the next complete frame from the buffer.
    fn decode(&mut self) -> Result<Option<Frame>, Error> {
        let Self { buffer, longest, .. } = self;
        let longest = *longest;
        if self.is_whole {
            if buffer.len() > longest {
                return Err(corrupt(format!("the answer has more than {longest} bytes")));
            }
            return Ok(None);
        }
        let Some(prelude) = buffer.first_chunk::<PRELUDE>() else { return Ok(None) };
        let (lengths, checksum) = prelude.split_at(8);
        if crc32fast::hash(lengths).to_be_bytes() != checksum {
            return Err(corrupt("the checksum of a frame's prelude does not match"));
        }
        let [a, b, c, d, ..] = *prelude;
        let total = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(SHORTEST..=longest).contains(&total) {
            return Err(corrupt(format!("a frame declares {total} bytes; {SHORTEST} to {longest} are accepted")));
        }
        if buffer.len() < total {
            buffer.reserve(total - buffer.len());
            return Ok(None);
        }
        let mut frame = buffer.split_to(total).freeze();
        self.last = frame.clone();
        let message = read_message_from(&mut frame).map_err(|error| corrupt(error.to_string()).with_source(error))?;
        read(&message).map(Some)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        while self.body.is_some() {
            if let Some(frame) = self.decode().transpose() {
                return Poll::Ready(Some(frame));
            }
            let Some(body) = &mut self.body else { break };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(part)) => {
                    if let Ok(data) = part.into_data() {
                        self.received += data.len() as u64;
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(truncated("the connection was cut").with_source(error))));
                }
                None => self.body = None,
            }
        }
        if std::mem::take(&mut self.is_whole) {
            self.last = self.buffer.split().freeze();
            return Poll::Ready(Some(Ok(Frame::Whole(self.last.clone()))));
        }
        Poll::Ready(match self.buffer.len() {
            0 => None,
            rest => Some(Err(truncated(format!("{rest} bytes of an unfinished frame were left")))),
        })
    }
}

impl Stream for Frames {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(self.poll_frame(cx));
        if let Some(Err(_)) = &frame {
            self.close();
        }
        Poll::Ready(frame)
    }
}

fn read(message: &Message) -> Result<Frame, Error> {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|value| value.as_str().to_owned())
    };
    let required = |name: &str| header(name).ok_or_else(|| corrupt(format!("a frame lacks the header {name}")));
    // A frame without :message-type is identified by its other header.
    let implied = || {
        let types = [(":event-type", "event"), (":exception-type", "exception")];
        types.into_iter().find(|(name, _)| header(name).is_some()).map(|(_, implied)| implied.to_owned())
    };
    let message_type = header(":message-type").or_else(implied);
    let payload = message.payload().clone();
    match message_type.ok_or_else(|| corrupt("a frame lacks the header :message-type"))?.as_str() {
        "event" => Ok(Frame::Event { event_type: required(":event-type")?, payload }),
        "exception" => Ok(Frame::Exception { exception_type: required(":exception-type")?, payload }),
        "error" => Ok(Frame::Error {
            code: header(":error-code").unwrap_or_default(),
            message: header(":error-message").unwrap_or_default(),
        }),
        other => Err(corrupt(format!("a frame has the unknown :message-type {other:?}"))),
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::{paced::frame, *};
    use crate::error::Reason;

    async fn decode(bytes: impl Into<SdkBody>) -> Vec<Result<Frame, Reason>> {
        Frames::new(bytes.into()).map(|frame| frame.map_err(|error| error.reason())).collect().await
    }

    #[tokio::test]
    async fn the_three_kinds_of_message_are_distinguished() {
        let bytes = [
            frame(&[(":message-type", "event"), (":event-type", "messageStart")], "{}"),
            frame(&[(":message-type", "exception"), (":exception-type", "throttlingException")], "{}"),
            frame(&[(":message-type", "error"), (":error-code", "c"), (":error-message", "m")], ""),
        ];
        let frames = decode(bytes.concat()).await;
        assert!(matches!(&frames[0], Ok(Frame::Event { event_type, .. }) if event_type == "messageStart"));
        assert!(matches!(&frames[1], Ok(Frame::Exception { .. })));
        assert_eq!(frames[2], Ok(Frame::Error { code: "c".into(), message: "m".into() }));
        assert_eq!(frames.len(), 3);
    }

    #[tokio::test]
    async fn a_frame_without_message_type_is_identified_by_its_other_header() {
        let bytes = [frame(&[(":event-type", "a")], "{}"), frame(&[(":exception-type", "b")], "{}")];
        let frames = decode(bytes.concat()).await;
        assert!(matches!(frames[..], [Ok(Frame::Event { .. }), Ok(Frame::Exception { .. })]), "{frames:?}");
    }

    #[tokio::test]
    async fn damage_anywhere_in_a_frame_is_noticed() {
        let whole = frame(&[(":message-type", "event"), (":event-type", "messageStart")], r#"{"role":"assistant"}"#);
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 0x10;
            assert_eq!(decode(damaged).await[0], Err(Reason::UpstreamCorrupt), "byte {at}");
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_a_truncation() {
        let whole = frame(&[(":message-type", "event"), (":event-type", "messageStart")], "{}");
        for length in 1..whole.len() {
            assert_eq!(decode(whole[..length].to_vec()).await, [Err(Reason::UpstreamTruncated)], "{length} bytes");
        }
    }

    #[tokio::test]
    async fn a_frame_without_its_headers_is_corrupt() {
        for headers in [&[][..], &[(":message-type", "event")], &[(":message-type", "surprise")]] {
            assert_eq!(decode(frame(headers, "{}")).await[0], Err(Reason::UpstreamCorrupt));
        }
    }
}
