//! One answer being read: frames in, chunks out, and the clock that notices when Bedrock falls silent.
//!
//! [`crate::failover`] reads until the first content, [`crate::response::stream`] for the caller, and
//! [`crate::response::abandoned`] what no caller wants any more.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use outcrop_contract::is_finish;
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;

use crate::{
    bedrock::{
        Format, PooledClient, Upstream, classify,
        frames::{Frame, Frames},
        invoke,
    },
    error::{CallContext, Error, Reason},
    event::{self, EventMapper, Used, native::CHUNK},
    proto::{Attempt, Chunk, Start},
};

/// How long Bedrock gets to close a stream after both of its terminal events. It closes at once; a connection that does
/// not must not keep an answer that is complete.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// An answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    frames: Frames,
    /// Given back when the stream has ended upstream.
    client: Option<PooledClient>,
    format: Format,
    mapper: EventMapper,
    ready: VecDeque<Chunk>,
    ended: bool,
    call: CallContext,
    close_grace: Option<Pin<Box<Sleep>>>,
    silence: Silence,
}

/// Runs while there is nothing to read. A caller who does not read stops it, because then nobody asks.
#[derive(Debug)]
struct Silence {
    limit: Duration,
    /// How many bytes had come when it began; `None` while there is something to read.
    received: Option<u64>,
    since: Instant,
    /// Set anew only when it has fired, and not for each frame.
    timer: Pin<Box<Sleep>>,
}

impl ResponseReader {
    /// Of the stream that the last of these attempts has opened.
    pub(crate) fn new(upstream: Upstream, generation_id: &str, attempts: Vec<Attempt>, idle: Duration) -> Self {
        let Upstream { frames, format, client, call } = upstream;
        let start = Start {
            generation_id: generation_id.to_owned(),
            model_id: call.model_id.clone(),
            region: call.region.clone(),
            operation: format.operation().into(),
            attempts: attempts.clone(),
            request_id: call.request_id.clone(),
            ..Start::default()
        };
        Self {
            frames,
            client: Some(client),
            format,
            mapper: EventMapper::new(start),
            ready: VecDeque::new(),
            ended: false,
            call: CallContext { attempts, ..call },
            close_grace: None,
            silence: Silence { limit: idle, received: None, since: Instant::now(), timer: Box::pin(sleep(idle)) },
        }
    }

    /// What is known about the call to Bedrock.
    pub(crate) fn call(&self) -> &CallContext {
        &self.call
    }

    /// What the message used, if Bedrock has said so.
    pub(crate) fn used(&self) -> Option<Used> {
        self.mapper.used()
    }

    /// The next chunk that is there already.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// The last chunk, if that is the next.
    pub(crate) fn finish(&self) -> Option<&Chunk> {
        self.ready.front().filter(|chunk| is_finish(chunk))
    }

    /// Waits until there is something to send.
    pub(crate) async fn first_content(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_fill(cx, false)).await
    }

    /// Reads to the end and throws everything away, in no more memory than one frame of this length.
    pub(crate) async fn drain(&mut self, longest_frame: usize) -> Result<(), Error> {
        self.frames.at_most(longest_frame);
        while !self.ended {
            self.ready.clear();
            poll_fn(|cx| self.poll_fill(cx, true)).await?;
        }
        Ok(())
    }

    /// Pulls until a chunk is ready or the answer has ended; afterwards [`ResponseReader::pop`] gives `None` only if it has. With `watched`, Bedrock
    /// may not be silent for longer than the idle limit.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, watched: bool) -> Poll<Result<(), Error>> {
        while self.ready.is_empty() && !self.ended {
            match Pin::new(&mut self.frames).poll_next(cx) {
                Poll::Ready(Some(frame)) => {
                    self.silence.received = None;
                    match frame.and_then(|frame| self.accept(frame)) {
                        // The message has ended, so its text is whole; only the metadata may be missing.
                        Err(error) if error.reason() == Reason::UpstreamTruncated && self.mapper.is_stopped() => {
                            self.end()?;
                        }
                        result => result.map_err(|error| self.fail(error))?,
                    }
                }
                Poll::Ready(None) => self.end()?,
                Poll::Pending if self.mapper.is_complete() => {
                    let grace = self.close_grace.get_or_insert_with(|| Box::pin(sleep(CLOSE_GRACE)));
                    ready!(grace.as_mut().poll(cx));
                    self.end()?;
                }
                Poll::Pending if watched => {
                    ready!(self.silence.poll_over(cx, self.frames.received()));
                    let error = self.silence.error();
                    return Poll::Ready(Err(self.fail(error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there is nothing more to be had from it.
    pub(crate) fn is_spent(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    /// Whether all of the answer is there, if need be without the end of its bytes. What is complete is sent, however late it is.
    pub(crate) fn complete(&mut self) -> bool {
        self.ended || (self.mapper.is_complete() && self.end().is_ok())
    }

    /// An error of this call, and the end of it.
    pub(crate) fn fail(&mut self, error: Error) -> Error {
        self.close();
        error.in_phase(self.mapper.phase()).in_call(self.call.clone())
    }

    fn accept(&mut self, frame: Frame) -> Result<(), Error> {
        let (event_type, payload) = match frame {
            Frame::Event { event_type, payload } => (event_type, payload),
            Frame::Exception { exception_type, payload } => {
                return Err(classify::exception_frame(&exception_type, &payload));
            }
            Frame::Error { code, message } => return Err(classify::error_frame(&code, &message)),
        };
        let event = match event::parse(&event_type, &payload) {
            Err(_) if !event::is_known(&event_type) => {
                self.mapper.opaque(event_type, &payload, &mut self.ready);
                return Ok(());
            }
            parsed => parsed?,
        };
        match &mut self.format {
            Format::Native(decoder) if event_type == CHUNK => {
                let chunk = event::parse(CHUNK, &invoke::chunk_bytes(&event)?)?;
                self.mapper.native(decoder.as_mut(), chunk, &mut self.ready)
            }
            Format::Raw if event_type == CHUNK => self.mapper.raw(&invoke::chunk_bytes(&event)?, &mut self.ready),
            _ => {
                self.mapper.accept(&event_type, event, &mut self.ready);
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        if matches!(self.format, Format::Raw) {
            self.mapper.raw_end();
        }
        let ended = self.mapper.end(&mut self.ready);
        self.close();
        ended.map_err(|error| self.fail(error))
    }

    /// Gives back what it holds upstream.
    fn close(&mut self) {
        self.ended = true;
        self.frames.close();
        self.client = None;
    }
}

impl Silence {
    /// Ready when nothing has come for as long as the limit. `received` is how many bytes have come in all.
    fn poll_over(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<()> {
        if self.received != Some(received) {
            self.received = Some(received);
            self.since = Instant::now();
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let over = self.since + self.limit;
            if over <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(over);
        }
    }

    fn error(&self) -> Error {
        let limit = self.limit;
        let message = format!(
            "Bedrock sent nothing for {limit:?} in the middle of the answer. Try again, or allow more with time_limits.idle"
        );
        Error::new(Reason::IdleTimeout, message)
    }
}

#[cfg(test)]
mod tests;
