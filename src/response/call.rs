//! A running call with its attempts or its answer, its timeouts, its permits and its usage accounting.
//!
//! It is a stream of pieces. [`super::stream`] polls it. [`super::registry`] ends it if it is not polled.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use outcrop_contract::is_finish;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::{
    admission::{StreamPermits, request_memory::MemoryPermit},
    error::{Error, Reason},
    failover::attempt_log::AttemptLog,
    outcome::Answer,
    proto::{AbandonmentMode, Chunk, Heartbeat, chunk::Event},
    response::{
        abandoned::{AbandonedCall, AbandonedCalls},
        pending::PendingResponse,
        piece::Piece,
        reader::ResponseReader,
        reading::Reading,
        timers::{HeartbeatTimer, TimeLimit},
        usage::UsageAccounting,
        whole::WholeAnswer,
    },
    shutdown::InFlight,
};

/// A running call. The stream ends after the `finish` or after an error.
#[derive(Debug)]
pub(crate) struct Call {
    state: State,
    attempts: AttemptLog,
    time_limit: TimeLimit,
    heartbeat: Option<Box<HeartbeatTimer>>,
    abandonment: AbandonmentMode,
    /// The answer put together, for the turn of a conversation or for the caller.
    whole: Option<Box<WholeAnswer>>,
    /// Whether the caller reads. It wakes the task of the call.
    reading: Reading,
    /// Released when the call ends; `None` afterwards.
    resources: Option<CallResources>,
}

/// The parts of a new call.
pub(crate) struct CallParts {
    pub(crate) response: PendingResponse,
    pub(crate) attempts: AttemptLog,
    pub(crate) time_limit: TimeLimit,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) abandonment: AbandonmentMode,
    pub(crate) whole: Option<Box<WholeAnswer>>,
    pub(crate) resources: CallResources,
}

/// The resources of a running call.
#[derive(Debug)]
pub(crate) struct CallResources {
    pub(crate) accounting: UsageAccounting,
    pub(crate) _permits: StreamPermits,
    /// The shutdown waits for it.
    pub(crate) in_flight: Arc<InFlight>,
    /// The memory of the request, if it is needed until the call ends.
    pub(crate) _memory: Option<Arc<MemoryPermit>>,
}

#[derive(Debug)]
enum State {
    /// Attempts that have no content yet.
    Pending(PendingResponse),
    /// An answer that is being read.
    Reading(Box<ResponseReader>),
    /// A complete answer whose turn is being stored. `finish` is sent afterwards.
    Storing { reader: Box<ResponseReader>, finish: Box<Chunk> },
    /// The end. The error, if any, was not returned yet.
    Over(Option<Error>),
}

impl Call {
    /// An admitted call without an answer.
    pub(crate) fn new(parts: CallParts) -> Self {
        let CallParts { response, attempts, time_limit, heartbeat, abandonment, whole, resources } = parts;
        Self {
            state: State::Pending(response),
            attempts,
            time_limit,
            heartbeat: heartbeat.map(|interval| Box::new(HeartbeatTimer::new(interval))),
            abandonment,
            whole,
            reading: Reading::default(),
            resources: Some(resources),
        }
    }

    fn poll_piece(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Error>>> {
        loop {
            // A call without resources has ended and does not time out.
            if self.resources.is_some() && self.time_limit.poll_passed(now, cx).is_ready() {
                self.end_overdue();
            }
            if let Some(whole) = &mut self.whole
                && let Poll::Ready(lease_lost) = whole.poll_lost(cx)
            {
                self.end(lease_lost);
            }
            match self.poll_state(now, cx) {
                Poll::Ready(Step::Again) => {}
                Poll::Ready(Step::Piece(piece)) => return Poll::Ready(Some(Ok(piece))),
                Poll::Ready(Step::Failed(error)) => self.fail(error),
                Poll::Ready(Step::Over(error)) => return Poll::Ready(error.map(Err)),
                Poll::Pending => {
                    let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
                    ready!(heartbeat.poll_due(now, cx));
                    return Poll::Ready(Some(Ok(Piece::Chunk(Chunk {
                        event: Some(Event::Heartbeat(Heartbeat { quota_wait: self.attempts.quota_wait() })),
                        ..Chunk::default()
                    }))));
                }
            }
        }
    }

    fn poll_state(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Step> {
        let step = match &mut self.state {
            State::Over(error) => Step::Over(error.take()),
            State::Pending(response) => match ready!(Pin::new(response).poll(cx)) {
                Ok(reader) => {
                    if let Some(resources) = &mut self.resources {
                        resources.accounting.answered();
                    }
                    self.state = State::Reading(reader);
                    Step::Again
                }
                Err(error) => Step::Failed(error),
            },
            State::Reading(reader) => match ready!(poll_reader(reader, &mut self.resources, now, cx)) {
                Some(Ok(Piece::Chunk(mut finish))) if is_finish(&finish) => {
                    if let Some(whole) = &mut self.whole {
                        whole.complete(&mut finish);
                    }
                    self.state = match mem::replace(&mut self.state, State::Over(None)) {
                        State::Reading(reader) => State::Storing { reader, finish: Box::new(finish) },
                        other => other,
                    };
                    Step::Again
                }
                Some(Ok(mut piece)) => {
                    if let (Some(whole), Piece::Chunk(chunk)) = (&mut self.whole, &mut piece) {
                        whole.add(chunk);
                    }
                    if let Some(resources) = &mut self.resources
                        && piece.follows_content()
                    {
                        resources.accounting.chunks(piece.chunks(), now);
                    }
                    Step::Piece(piece)
                }
                Some(Err(error)) => Step::Failed(error),
                None => Step::Over(None),
            },
            State::Storing { reader, finish } => {
                // `finish` is sent only after the turn is stored.
                if let Some(whole) = &mut self.whole
                    && let Err(error) = ready!(whole.poll_stored(cx, finish))
                {
                    Step::Failed(reader.fail(error))
                } else {
                    let finish = mem::take(finish.as_mut());
                    finished(&mut self.resources, &reader.answer());
                    self.whole = None;
                    self.state = State::Over(None);
                    Step::Piece(Piece::Chunk(finish))
                }
            }
        };
        Poll::Ready(step)
    }

    /// The error with which the call must end now, if it has passed its time limit, or its caller has not read for `unread`.
    pub(crate) fn overdue(&mut self, now: Instant, unread: Duration) -> Option<Error> {
        self.resources.as_ref()?;
        if self.time_limit.at() <= now {
            return Some(self.time_limit.error());
        }
        self.reading.unread_since(now).filter(|since| *since + unread <= now).map(|_| {
            let message = format!(
                "the caller read nothing for {unread:?} while there was more to read. Read faster, or cancel the call"
            );
            Error::new(Reason::UnreadTimeout, message)
        })
    }

    /// Ends the call with this error, unless its answer is complete.
    pub(crate) fn end(&mut self, error: Error) {
        match &mut self.state {
            State::Over(_) => return,
            State::Reading(reader) => {
                if !self.whole.as_ref().is_some_and(|whole| whole.is_stored()) && reader.complete() {
                    // The answer stays readable. Its resources are released.
                    finished(&mut self.resources, &reader.answer());
                } else {
                    let error = reader.fail(error);
                    self.fail(error);
                }
            }
            State::Storing { reader, .. } => {
                let message = "the call ended while its turn was being stored. Read the conversation, or send the turn again with the same turn_id";
                let unknown = Error::new(Reason::ConversationOutcomeUnknown, message);
                let error = reader.fail(unknown.with_metadata("ended_by", error.reason().name().to_owned()));
                self.fail(error);
            }
            State::Pending(_) => {
                let error = error.after(self.attempts.call());
                self.fail(error);
            }
        }
        self.reading.wake();
    }

    /// Ends a call whose time limit has passed.
    fn end_overdue(&mut self) {
        let error = self.time_limit.error();
        self.end(error);
    }

    /// Abandons the call when its caller has cancelled or disconnected.
    pub(crate) fn abandon(&mut self, abandoned: &AbandonedCalls) {
        self.attempts.stop();
        self.whole = None;
        let call = match mem::replace(&mut self.state, State::Over(None)) {
            State::Pending(response) => AbandonedCall::Pending(response),
            State::Reading(reader) => AbandonedCall::Reading(reader),
            State::Storing { reader, .. } => return finished(&mut self.resources, &reader.answer()),
            State::Over(_) => return,
        };
        if let Some(CallResources { accounting, in_flight, .. }) = self.resources.take() {
            // A call that waits for quota has nothing to drain, and gives up its place.
            let mode = if self.attempts.is_waiting() { AbandonmentMode::Cancel } else { self.abandonment };
            abandoned.abandon(call, mode, accounting, &in_flight);
        }
    }

    /// Ends the call with an error and releases its resources.
    fn fail(&mut self, error: Error) {
        let answer = match &self.state {
            State::Reading(reader) | State::Storing { reader, .. } => reader.answer(),
            State::Pending(_) | State::Over(_) => Answer::default(),
        };
        if let Some(CallResources { accounting, .. }) = self.resources.take() {
            accounting.failed(&error, &answer);
        }
        self.whole = None;
        self.state = State::Over(Some(error));
    }
}

/// Reads the next piece, and records the wait for it.
fn poll_reader(
    reader: &mut ResponseReader,
    resources: &mut Option<CallResources>,
    now: Instant,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Piece, Error>>> {
    let polled = Pin::new(reader).poll_next(cx);
    if let Some(CallResources { accounting, .. }) = resources {
        match &polled {
            Poll::Pending => accounting.waits(now),
            Poll::Ready(Some(Ok(piece))) => accounting.arrived(piece.chunks(), now),
            Poll::Ready(_) => {}
        }
    }
    polled
}

/// Ends a call with OK and releases its resources.
fn finished(resources: &mut Option<CallResources>, answer: &Answer<'_>) {
    if let Some(CallResources { accounting, .. }) = resources.take() {
        accounting.finished(answer);
    }
}

/// The result of one poll of the state.
enum Step {
    /// The state has changed and is polled again.
    Again,
    Piece(Piece),
    Failed(Error),
    Over(Option<Error>),
}

impl Stream for Call {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let waker = self.reading.begin_poll(cx);
        // One look at the clock for all that a poll measures.
        let now = Instant::now();
        let polled = self.poll_piece(now, &mut Context::from_waker(&waker));
        self.reading.end_poll(&polled);
        if let (Poll::Ready(Some(Ok(_))), Some(heartbeat)) = (&polled, &mut self.heartbeat) {
            heartbeat.sent(now);
        }
        polled
    }
}

#[cfg(test)]
mod tests;
