//! Reads an answer: frames in, chunks out, with the idle timeout.
//!
//! [`crate::failover`] waits for the first content, [`crate::response::call`] reads the answer, and [`crate::response::abandoned`] drains
//! abandoned answers.
//!
//! - `waiting` its timers

mod waiting;

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio_stream::Stream;

use self::waiting::{Grace, IdleTimer};
use crate::{
    bedrock::{
        Format, PooledClient, Upstream, classify,
        frames::{Frame, Frames},
        invoke,
    },
    error::{CallContext, Error, Phase, Reason},
    event::{
        self, EventMapper, Members,
        native::{self, CHUNK},
    },
    failover::{attempt_log::AttemptLog, routes::Target},
    outcome::Answer,
    proto::{Chunk, JsonForm, Start, chunk::Event},
    quota::billing::Billing,
    response::piece::{Piece, Relay},
};

/// An answer as it arrives: a stream of chunks that ends after its `finish` or with an error.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    frames: Frames,
    /// Returned to its pool when the stream has ended upstream.
    client: Option<PooledClient>,
    format: Format,
    mapper: EventMapper,
    ready: VecDeque<Chunk>,
    /// The frames, if they are sent as they are. Then the chunks only prove the end.
    relay: Option<Box<Relay>>,
    ended: bool,
    /// The last one is that of this answer.
    attempts: AttemptLog,
    /// Its quota and its price.
    billing: Billing,
    grace: Grace,
    idle: IdleTimer,
    /// The idle timeout runs after the first content. Before it the first-content timeout runs.
    has_content: bool,
}

impl ResponseReader {
    /// Reads the stream that the last of these attempts has opened.
    pub(crate) fn new(upstream: Upstream, generation_id: &str, attempts: AttemptLog, idle: Duration) -> Self {
        let Upstream { frames, format, client, head } = upstream;
        let CallContext { model_id, region, request_id, attempts: made } = attempts.call();
        let start = Start {
            generation_id: generation_id.to_owned(),
            model_id,
            region,
            operation: format.operation().into(),
            attempts: made,
            request_id,
            ..Start::default()
        };
        Self {
            relay: matches!(format, Format::Relayed(_)).then(|| Box::new(Relay::new(head))),
            frames,
            client: Some(client),
            format,
            mapper: EventMapper::new(start),
            // `start` and the first content. Few events become more than two chunks.
            ready: VecDeque::with_capacity(2),
            ended: false,
            attempts,
            billing: Billing::default(),
            grace: Grace::default(),
            idle: IdleTimer::new(idle),
            has_content: false,
        }
    }

    /// The same with this form for the JSON in tool results.
    pub(crate) fn with_json_form(mut self, form: JsonForm) -> Self {
        self.mapper = self.mapper.with_json_form(form);
        self
    }

    /// The same with this quota and price.
    pub(crate) fn with_billing(mut self, billing: Billing) -> Self {
        if let Some(start) = self.mapper.start_mut() {
            billing.begin(start);
        }
        self.billing = billing;
        self
    }

    /// The target that answers.
    pub(crate) fn target(&self) -> Target {
        let CallContext { model_id, region, .. } = self.attempts.call();
        Target { model_id, region: Some(region) }
    }

    /// What is known of the answer for the record of the call.
    pub(crate) fn answer(&self) -> Answer<'_> {
        Answer { used: self.mapper.used(), stop_reason: self.mapper.stop_reason(), pace: None }
    }

    /// Waits for the first content, without removing it from the stream.
    pub(crate) async fn first_content(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.has_content = true;
        Ok(())
    }

    /// Reads to the end and discards the chunks. Frames have at most `longest_frame` bytes.
    pub(crate) async fn drain(&mut self, longest_frame: usize) -> Result<(), Error> {
        self.frames.at_most(longest_frame);
        self.has_content = true;
        while !self.ended {
            self.clear();
            poll_fn(|cx| self.poll_ready(cx)).await?;
        }
        Ok(())
    }

    /// Whether the answer is complete, even if the bytes have not ended.
    pub(crate) fn complete(&mut self) -> bool {
        self.ended || (self.mapper.is_complete() && self.end().is_ok())
    }

    /// Ends the answer with this error, and adds the phase and the context of the call.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        // An answer that comes at once begins when all of it is generated.
        let is_generated = self.format.is_whole() && self.frames.received() > 0;
        let error = error.in_phase(self.mapper.phase()).with_generated(is_generated);
        self.close();
        match self.mapper.used() {
            Some(used) => drop(self.billing.settle(used)),
            None => {
                if let Some(reservation) = self.billing.reservation.take() {
                    let phase = if error.is_generated() { Phase::AfterContent } else { Phase::BeforeContent };
                    reservation.failed(&error, phase);
                }
            }
        }
        error.in_call(self.attempts.call())
    }

    /// Ready when a chunk is ready or the answer has ended.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.ready.is_empty() && self.relay.as_ref().is_none_or(|relay| relay.is_empty()) && !self.ended {
            match Pin::new(&mut self.frames).poll_next(cx) {
                Poll::Ready(Some(frame)) => {
                    self.idle.stop();
                    match frame.and_then(|frame| self.accept(frame)) {
                        // The message has ended, so its content is complete. Only metadata can be missing.
                        Err(error) if error.reason() == Reason::UpstreamTruncated && self.mapper.is_stopped() => {
                            self.end()?;
                        }
                        result => result.map_err(|error| self.fail(error))?,
                    }
                }
                Poll::Ready(None) => self.end()?,
                Poll::Pending if self.mapper.is_stopped() => {
                    ready!(self.grace.poll_over(cx, self.mapper.is_complete()));
                    self.end()?;
                }
                Poll::Pending if self.has_content => {
                    ready!(self.idle.poll_over(cx, self.frames.received()));
                    let error = self.idle.error();
                    return Poll::Ready(Err(self.fail(error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what was not sent.
    fn clear(&mut self) {
        self.ready.clear();
        if let Some(relay) = &mut self.relay {
            relay.clear();
        }
    }

    fn accept(&mut self, frame: Frame) -> Result<(), Error> {
        match (frame, &mut self.relay) {
            (Frame::Unread { bytes, count }, Some(relay)) => {
                relay.pass_on(bytes, count);
                return Ok(());
            }
            (frame, _) => self.map(frame)?,
        }
        if let Some(relay) = &mut self.relay {
            self.ready.clear();
            let has_content = self.mapper.phase() == Phase::AfterContent;
            if has_content {
                self.frames.leave_unread(self.format.unread());
            }
            relay.add(self.frames.take_last(), has_content);
        }
        Ok(())
    }

    fn map(&mut self, frame: Frame) -> Result<(), Error> {
        let (event_type, payload) = match frame {
            Frame::Event { event_type, payload } => (event_type, payload),
            Frame::Exception { exception_type, payload } => {
                return Err(classify::exception_frame(&exception_type, &payload));
            }
            Frame::Error { code, message } => return Err(classify::error_frame(&code, &message)),
            Frame::Whole(body) => return self.format.prove(&mut self.mapper, &body),
            // Only an answer that is relayed has them.
            Frame::Unread { .. } => return Ok(()),
        };
        let event_type = event_type.as_str();
        if self.format.is_converse() && self.mapper.accept_text(event_type, &payload, &mut self.ready) {
            return Ok(());
        }
        // Of an answer that is relayed, only its end and its usage count.
        let is_content = event_type == CHUNK && self.mapper.phase() == Phase::AfterContent;
        if is_content && matches!(self.format, Format::Relayed(_)) && invoke::is_plain(&payload) {
            return Ok(());
        }
        let mut event = match event::parse(event_type, &payload) {
            Err(_) if !event::is_known(event_type) => {
                self.mapper.opaque(event_type.to_owned(), &payload, &mut self.ready);
                return Ok(());
            }
            parsed => parsed?,
        };
        if event_type != CHUNK || self.format.is_converse() {
            self.mapper.accept(event_type, event, &mut self.ready);
            return Ok(());
        }
        let bytes = invoke::chunk_bytes(&event)?;
        event.remove("bytes");
        let beside = Members::new(event);
        match &mut self.format {
            Format::Native(decoder) => {
                let chunk = event::parse(CHUNK, &bytes)?;
                self.mapper.native(decoder.as_mut(), chunk, beside, &mut self.ready)
            }
            // A beginning without content can still be replaced by another attempt.
            Format::Relayed(_) if self.mapper.phase() == Phase::BeforeContent && native::is_beginning(&bytes) => Ok(()),
            _ => self.mapper.raw(&bytes, beside, &mut self.ready),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        let ended = self.mapper.end(&mut self.ready);
        if let Some(Event::Finish(finish)) = self.ready.back_mut().and_then(|chunk| chunk.event.as_mut()) {
            self.billing.finish(self.mapper.used(), finish);
        }
        if let Some(relay) = &mut self.relay {
            relay.release();
            self.ready.drain(..self.ready.len().saturating_sub(1));
        }
        self.close();
        ended.map_err(|error| self.fail(error))
    }

    /// Releases the connection.
    fn close(&mut self) {
        self.ended = true;
        self.frames.close();
        self.client = None;
    }
}

impl Stream for ResponseReader {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = ready!(self.poll_ready(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        let part = self.relay.as_mut().and_then(|relay| relay.next()).map(Piece::Relayed);
        Poll::Ready(part.or_else(|| self.ready.pop_front().map(Piece::Chunk)).map(Ok))
    }
}

#[cfg(test)]
mod tests;
