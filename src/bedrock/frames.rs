//! Decodes a response body into event-stream frames, within AWS's maximum size.
//!
//! The decoder is the SDK's. The prelude is checked as soon as it has arrived, because with a damaged length the decoder would wait for bytes
//! that never come.
//!
//! - `plain` events as Bedrock writes them, which need no decoder
//! - `decoded` what the decoder has decoded, as a frame
//! - `gathered` frames that go on unread and together
//! - `whole` a body that is no event stream

mod decoded;
mod gathered;
#[cfg(test)]
pub(crate) mod paced;
#[cfg(any(feature = "microbenchmarks", fuzzing, test))]
pub(crate) mod pieces;
mod plain;
mod whole;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::{body::SdkBody, str_bytes::StrBytes};
use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio_stream::Stream;

use self::{
    gathered::Gathered,
    plain::{Prelude, Run},
    whole::Whole,
};
use crate::{
    admission::request_memory::MemoryPermit,
    error::{Error, corrupt, truncated},
};

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
        event_type: StrBytes,
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
    /// Events of the types that are left unread: one or more, as they arrived and undamaged.
    Unread {
        /// The frames.
        bytes: Bytes,
        /// Their number.
        count: u32,
    },
}

/// The frames of one response body.
#[derive(Debug)]
pub(crate) struct Frames {
    /// `None` after its end or a failure, so that the connection is released.
    body: Option<SdkBody>,
    buffer: BytesMut,
    received: u64,
    longest: usize,
    /// Set if the body is one answer and no event stream.
    whole: Option<Box<Whole>>,
    /// Set if events of some types are left unread.
    gathered: Option<Box<Gathered>>,
    /// What follows the frames that were gathered.
    next: Option<Box<Result<Frame, Error>>>,
    /// The bytes of the last frame that was read, until they are taken.
    last: Bytes,
}

impl Frames {
    pub(crate) fn new(body: SdkBody) -> Self {
        Self {
            body: Some(body),
            buffer: BytesMut::new(),
            received: 0,
            longest: LONGEST,
            whole: None,
            gathered: None,
            next: None,
            last: Bytes::new(),
        }
    }

    /// A body that is no event stream. It is one frame.
    pub(crate) fn whole(body: SdkBody) -> Self {
        let declared = body.size_hint().exact().and_then(|length| length.try_into().ok());
        Self {
            whole: Some(Box::new(Whole::of_length(declared.unwrap_or_default()))),
            longest: WHOLE,
            ..Self::new(body)
        }
    }

    /// The same, which takes this memory if it is a body that is no event stream. The memory is released with the last of its bytes.
    pub(crate) fn within(mut self, memory: impl FnOnce() -> MemoryPermit) -> Self {
        if let Some(whole) = &mut self.whole {
            whole.take_from(memory());
        }
        self
    }

    /// Leaves events of these types unread from now on ([`Frame::Unread`]). Only their checksums and their types are looked at.
    pub(crate) fn leave_unread(&mut self, types: &'static [&'static str]) {
        self.gathered.get_or_insert_default().leave(types);
    }

    /// The bytes of the last frame that was read, as they arrived.
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
        self.whole = None;
        self.gathered = None;
        self.next = None;
    }

    /// Refuses frames longer than this from now on.
    pub(crate) fn at_most(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Removes the next complete frame from the buffer.
    fn decode(&mut self) -> Result<Option<Frame>, Error> {
        let unread = self.unread();
        let Self { buffer, longest, .. } = self;
        let longest = *longest;
        let run = Run::at_start_of(buffer, unread, longest);
        if run.frames > 0 {
            return Ok(Some(Frame::Unread { bytes: buffer.split_to(run.bytes).freeze(), count: run.frames }));
        }
        let Some(prelude) = Prelude::read(buffer, longest)? else { return Ok(None) };
        let total = prelude.total;
        if buffer.len() < total {
            buffer.reserve(total - buffer.len());
            return Ok(None);
        }
        let mut frame = buffer.split_to(total).freeze();
        self.last = frame.clone();
        if let Some((event_type, payload)) = prelude.event(&frame)
            && let Ok(event_type) = StrBytes::try_from(frame.slice_ref(event_type))
        {
            return Ok(Some(Frame::Event { event_type, payload: frame.slice_ref(payload) }));
        }
        let message = read_message_from(&mut frame).map_err(|error| corrupt(error.to_string()).with_source(error))?;
        decoded::frame(&message).map(Some)
    }

    /// Adds bytes to the buffer. Frames at their beginning that are left unread are not copied.
    fn take_in(&mut self, mut data: Bytes) -> Result<(), Error> {
        if let Some(whole) = &mut self.whole {
            return whole.add(&data, self.longest);
        }
        if self.buffer.is_empty()
            && let Some(gathered) = &mut self.gathered
        {
            let run = Run::at_start_of(&data, gathered.types(), self.longest);
            if run.frames > 0 {
                gathered.add(data.split_to(run.bytes), run.frames);
            }
        }
        self.buffer.extend_from_slice(&data);
        Ok(())
    }

    /// The next of the buffer: what was gathered if it is anything else, or nothing more can be gathered.
    fn next_of_buffer(&mut self) -> Option<Result<Frame, Error>> {
        while !self.gathered.as_ref().is_some_and(|gathered| gathered.is_enough()) {
            match (self.decode().transpose()?, &mut self.gathered) {
                (Ok(Frame::Unread { bytes, count }), Some(gathered)) => gathered.add(bytes, count),
                (other, _) => return Some(self.after_gathered(other)),
            }
        }
        self.take_gathered().map(Ok)
    }

    /// The types of events that are left unread.
    fn unread(&self) -> &'static [&'static str] {
        self.gathered.as_ref().map_or(&[], |gathered| gathered.types())
    }

    fn take_gathered(&mut self) -> Option<Frame> {
        self.gathered.as_mut()?.take()
    }

    /// What was gathered, or this if nothing was.
    fn after_gathered(&mut self, next: Result<Frame, Error>) -> Result<Frame, Error> {
        match self.take_gathered() {
            Some(gathered) => {
                self.next = Some(Box::new(next));
                Ok(gathered)
            }
            None => next,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(*next));
        }
        while self.body.is_some() {
            if let Some(frame) = self.next_of_buffer() {
                return Poll::Ready(Some(frame));
            }
            let Some(body) = &mut self.body else { break };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(part))) => {
                    if let Ok(data) = part.into_data() {
                        self.received += data.len() as u64;
                        if let Err(error) = self.take_in(data) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = truncated("the connection was cut").with_source(error);
                    return Poll::Ready(Some(self.after_gathered(Err(error))));
                }
                Poll::Ready(None) => self.body = None,
                Poll::Pending if self.gathered.as_mut().is_some_and(|gathered| gathered.waits(cx)) => {
                    return Poll::Pending;
                }
                Poll::Pending => {
                    return self.take_gathered().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))));
                }
            }
        }
        if let Some(gathered) = self.take_gathered() {
            return Poll::Ready(Some(Ok(gathered)));
        }
        if let Some(whole) = self.whole.take() {
            self.last = whole.end();
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

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
