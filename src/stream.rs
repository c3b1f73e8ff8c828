//! What tonic polls: one stream of chunks that owns everything its call holds. Dropping it releases everything.
//!
//! Comes after [`crate::bedrock`], whose frames it pulls, and [`crate::event`], which turns them into chunks. There is no
//! task and no channel behind it: a caller who stops reading stops the polling, so flow control reaches Bedrock; a caller
//! who leaves drops the stream, which closes the request to Bedrock.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Status;
use tracing::{info, warn};

use crate::{
    bedrock::{
        Format, Lease, Upstream, classify,
        frames::{Frame, Frames},
        invoke,
    },
    error::{CallContext, Error, Reason},
    event::{self, Answer, native::CHUNK},
    front::Deadline,
    proto::{Chunk, Start},
    shutdown::Admission,
};

/// How long Bedrock gets to close a stream after both of its terminal events. It closes at once; a connection that does
/// not must not keep an answer that is complete.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The answer to one `Generate`.
#[derive(Debug)]
pub struct ChunkStream {
    frames: Frames,
    /// Given back after the frames are dropped, which ends the stream upstream.
    _lease: Lease,
    format: Format,
    answer: Answer,
    ready: VecDeque<Chunk>,
    close_grace: Option<Pin<Box<Sleep>>>,
    /// The caller's own.
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
    call: CallContext,
    generation_id: String,
    opened: Instant,
    /// Keeps the server from shutting down under the stream, and ends the stream when the server can wait no longer.
    admission: Admission,
}

impl ChunkStream {
    /// The stream of this call.
    pub(crate) fn new(
        upstream: Upstream,
        generation_id: String,
        admission: Admission,
        deadline: Option<Deadline>,
    ) -> Self {
        let Upstream { frames, format, lease, call, attempts } = upstream;
        let start = Start {
            generation_id: generation_id.clone(),
            model_id: call.model_id.clone(),
            region: call.region.clone(),
            operation: format.operation().into(),
            attempts,
            request_id: call.request_id.clone(),
            ..Start::default()
        };
        Self {
            frames,
            _lease: lease,
            format,
            answer: Answer::new(start),
            ready: VecDeque::new(),
            close_grace: None,
            deadline: deadline.map(|Deadline(at)| Box::pin(sleep_until(at))),
            ended: false,
            call,
            generation_id,
            opened: Instant::now(),
            admission,
        }
    }

    /// Waits until there is something to send, so that a call which fails before its content fails without a stream.
    pub(crate) async fn first_content(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_fill(cx)).await.map_err(|error| self.ended_by(error))
    }

    /// Pulls until a chunk is ready or the stream has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.ready.is_empty() && !self.ended {
            if let Err(error) = self.poll_limits(cx) {
                // What is complete is sent, however late it is.
                if self.answer.is_complete() {
                    self.end()?;
                    continue;
                }
                return Poll::Ready(Err(error));
            }
            match Pin::new(&mut self.frames).poll_next(cx) {
                Poll::Ready(Some(frame)) => match frame.and_then(|frame| self.accept(frame)) {
                    // The message has ended, so its text is whole; only the metadata may be missing.
                    Err(error) if error.reason() == Reason::UpstreamTruncated && self.answer.is_stopped() => {
                        self.end()?;
                    }
                    result => result?,
                },
                Poll::Ready(None) => self.end()?,
                Poll::Pending if self.answer.is_complete() => {
                    let grace = self.close_grace.get_or_insert_with(|| Box::pin(sleep(CLOSE_GRACE)));
                    ready!(grace.as_mut().poll(cx));
                    self.end()?;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the server, or the caller, waits no longer.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.admission.poll_revoked(cx).is_ready() {
            return Err(Admission::revocation());
        }
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            let message = "the caller's deadline passed before the answer was whole. Allow more time";
            return Err(Error::new(Reason::CallerDeadline, message));
        }
        Ok(())
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
                self.answer.opaque(event_type, &payload, &mut self.ready);
                return Ok(());
            }
            parsed => parsed?,
        };
        match &mut self.format {
            Format::Native(decoder) if event_type == CHUNK => {
                let chunk = event::parse(CHUNK, &invoke::chunk_bytes(&event)?)?;
                self.answer.native(decoder.as_mut(), chunk, &mut self.ready)
            }
            Format::Raw if event_type == CHUNK => self.answer.raw(&invoke::chunk_bytes(&event)?, &mut self.ready),
            _ => {
                self.answer.accept(&event_type, event, &mut self.ready);
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        if matches!(self.format, Format::Raw) {
            self.answer.raw_end();
        }
        self.answer.end(&mut self.ready)?;
        self.ended = true;
        info!(
            generation_id = %self.generation_id,
            model_id = %self.call.model_id,
            request_id = %self.call.request_id,
            elapsed_ms = self.elapsed_ms(),
            "finished"
        );
        Ok(())
    }

    /// The end of a stream that has failed: nothing comes after it.
    fn ended_by(&mut self, error: Error) -> Error {
        self.ended = true;
        error.in_phase(self.answer.phase()).in_call(self.call.clone())
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.poll_fill(cx)) {
            Ok(()) => Poll::Ready(self.ready.pop_front().map(Ok)),
            Err(error) => {
                let error = self.ended_by(error);
                warn!(
                    generation_id = %self.generation_id,
                    model_id = %self.call.model_id,
                    request_id = %self.call.request_id,
                    elapsed_ms = self.elapsed_ms(),
                    error = %error.for_log(),
                    "failed"
                );
                Poll::Ready(Some(Err(error.into_status())))
            }
        }
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        if !self.ended {
            info!(
                generation_id = %self.generation_id,
                model_id = %self.call.model_id,
                request_id = %self.call.request_id,
                elapsed_ms = self.elapsed_ms(),
                "abandoned by the caller"
            );
        }
    }
}
