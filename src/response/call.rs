//! One running call and everything that it owns: its attempts or its answer, its timeouts, its permits, its usage accounting.
//!
//! It is a stream of chunks. [`super::stream`] polls it for tonic, and [`super::registry`] ends it if it is not polled.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, ready},
    time::Duration,
};

use outcrop_contract::is_finish;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::{
    admission::{StreamPermits, request_memory::MemoryLease},
    conversation::RunningTurn,
    error::{CallContext, Error, Reason},
    event::Used,
    failover::attempt_log::AttemptLog,
    proto::{AbandonmentMode, Chunk, Heartbeat, chunk::Event},
    response::{
        abandoned::{AbandonedCalls, Left},
        pending::PendingResponse,
        reader::ResponseReader,
        reading::ReadState,
        timers::{HeartbeatTimer, TimeLimit},
        usage::UsageAccounting,
    },
    shutdown::InFlight,
};

/// A running call. The stream ends after the `finish` or after an error.
#[derive(Debug)]
pub(crate) struct Call {
    state: State,
    attempts: AttemptLog,
    time_limit: TimeLimit,
    heartbeat: Option<HeartbeatTimer>,
    abandonment: AbandonmentMode,
    /// The turn of a conversation that this call is.
    turn: Option<RunningTurn>,
    /// Whether the caller reads. It wakes the task of the call.
    read: Arc<ReadState>,
    /// What is given back when the call ends; `None` afterwards.
    held: Option<Held>,
}

/// What a call is made of.
pub(crate) struct CallParts {
    pub(crate) response: PendingResponse,
    pub(crate) attempts: AttemptLog,
    pub(crate) time_limit: TimeLimit,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) abandonment: AbandonmentMode,
    pub(crate) turn: Option<RunningTurn>,
    pub(crate) held: Held,
}

/// What a call holds until it ends.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) accounting: UsageAccounting,
    pub(crate) _permits: StreamPermits,
    /// Keeps the server from shutting down under the call.
    pub(crate) in_flight: Arc<InFlight>,
    /// The memory of a message that is kept until the call ends.
    pub(crate) _memory: Option<Arc<MemoryLease>>,
}

#[derive(Debug)]
enum State {
    /// Attempts that have not brought content.
    Pending(PendingResponse),
    /// An answer that arrives.
    Reading(Box<ResponseReader>),
    /// A complete answer whose turn is being stored. The `finish` follows when it is.
    Storing { reader: Box<ResponseReader>, finish: Box<Chunk> },
    /// The end, after this error if it has not been returned yet.
    Over(Option<Error>),
}

impl Call {
    /// A call that is admitted and not yet answered.
    pub(crate) fn new(parts: CallParts) -> Self {
        let CallParts { response, attempts, time_limit, heartbeat, abandonment, turn, held } = parts;
        Self {
            state: State::Pending(response),
            attempts,
            time_limit,
            heartbeat: heartbeat.map(HeartbeatTimer::new),
            abandonment,
            turn,
            read: Arc::default(),
            held: Some(held),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, Error>>> {
        loop {
            // Nothing more can time out once everything was given back.
            if self.held.is_some() && self.time_limit.poll_passed(cx).is_ready() {
                self.end_overdue();
            }
            if let Some(turn) = &mut self.turn
                && let Poll::Ready(lost) = turn.poll_lost(cx)
            {
                self.end(lost);
            }
            match self.poll_state(cx) {
                Poll::Ready(Step::Again) => {}
                Poll::Ready(Step::Chunk(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Poll::Ready(Step::Failed(error)) => self.fail(error),
                Poll::Ready(Step::Over(error)) => return Poll::Ready(error.map(Err)),
                Poll::Pending => {
                    let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
                    ready!(heartbeat.poll_due(cx));
                    return Poll::Ready(Some(Ok(Chunk {
                        event: Some(Event::Heartbeat(Heartbeat {})),
                        ..Chunk::default()
                    })));
                }
            }
        }
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let step = match &mut self.state {
            State::Over(error) => Step::Over(error.take()),
            State::Pending(response) => match ready!(Pin::new(response).poll(cx)) {
                Ok(reader) => {
                    if let Some(held) = &self.held {
                        held.accounting.answered();
                    }
                    self.state = State::Reading(reader);
                    Step::Again
                }
                Err(error) => Step::Failed(error),
            },
            State::Reading(reader) => match ready!(Pin::new(reader.as_mut()).poll_next(cx)) {
                Some(Ok(mut chunk)) if !is_finish(&chunk) => {
                    if let Some(turn) = &mut self.turn {
                        turn.add(&mut chunk);
                    }
                    Step::Chunk(chunk)
                }
                Some(Ok(finish)) => match mem::replace(&mut self.state, State::Over(None)) {
                    State::Reading(reader) => {
                        self.state = State::Storing { reader, finish: Box::new(finish) };
                        Step::Again
                    }
                    other => {
                        self.state = other;
                        Step::Again
                    }
                },
                Some(Err(error)) => Step::Failed(error),
                None => Step::Over(None),
            },
            State::Storing { reader, finish } => {
                // The caller learns that the answer is complete when its turn is stored.
                if let Some(turn) = &mut self.turn
                    && let Err(error) = ready!(turn.poll_store(cx, finish))
                {
                    Step::Failed(reader.fail(error))
                } else {
                    let (finish, call, used) = (mem::take(finish.as_mut()), reader.call().clone(), reader.used());
                    self.finished(&call, used);
                    self.turn = None;
                    self.state = State::Over(None);
                    Step::Chunk(finish)
                }
            }
        };
        Poll::Ready(step)
    }

    /// When the call must end: by its time limit, or because its caller has not read for this long.
    pub(crate) fn overdue(&self, now: Instant, unread: Duration) -> Option<Error> {
        self.held.as_ref()?;
        if self.time_limit.at() <= now {
            return Some(self.time_limit.error());
        }
        self.read.unread_since().filter(|since| *since + unread <= now).map(|_| {
            let message = format!(
                "the caller read nothing for {unread:?} while there was more to read. Read faster, or cancel the call"
            );
            Error::new(Reason::UnreadTimeout, message)
        })
    }

    /// Ends the call from outside of its answer, unless the answer is complete.
    pub(crate) fn end(&mut self, error: Error) {
        match &mut self.state {
            State::Over(_) => return,
            State::Reading(reader) => {
                if self.turn.is_none() && reader.complete() {
                    // It is sent if its caller ever reads it. Nothing more is held for it.
                    let (call, used) = (reader.call().clone(), reader.used());
                    self.finished(&call, used);
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
        self.read.wake_by_ref();
    }

    /// Ends a call whose time limit has passed.
    fn end_overdue(&mut self) {
        let error = self.time_limit.error();
        self.end(error);
    }

    /// Hands the call over when its caller has left.
    pub(crate) fn leave(&mut self, abandoned: &AbandonedCalls) {
        self.attempts.leave();
        self.turn = None;
        let left = match mem::replace(&mut self.state, State::Over(None)) {
            State::Pending(response) => Left::Pending(response),
            State::Reading(reader) => Left::Reading(reader),
            State::Storing { reader, .. } => return self.finished(reader.call(), reader.used()),
            State::Over(_) => return,
        };
        if let Some(Held { accounting, in_flight, .. }) = self.held.take() {
            abandoned.leave(left, self.abandonment, accounting, &in_flight);
        }
    }

    fn finished(&mut self, call: &CallContext, used: Option<Used>) {
        if let Some(Held { accounting, .. }) = self.held.take() {
            accounting.finished(call, used);
        }
    }

    /// Ends the call with an error and gives everything back.
    fn fail(&mut self, error: Error) {
        let used = match &self.state {
            State::Reading(reader) | State::Storing { reader, .. } => reader.used(),
            State::Pending(_) | State::Over(_) => None,
        };
        if let Some(Held { accounting, .. }) = self.held.take() {
            accounting.failed(&error, used);
        }
        self.turn = None;
        self.state = State::Over(Some(error));
    }
}

/// The result of one poll of the state.
#[expect(clippy::large_enum_variant, reason = "a chunk is moved once, and a box would cost an allocation a chunk")]
enum Step {
    /// The state has changed.
    Again,
    Chunk(Chunk),
    Failed(Error),
    Over(Option<Error>),
}

impl Stream for Call {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = Arc::clone(&self.read);
        let polled = read.poll(cx, |cx| self.poll_chunk(cx));
        if let (Poll::Ready(Some(Ok(_))), Some(heartbeat)) = (&polled, &mut self.heartbeat) {
            heartbeat.sent();
        }
        polled
    }
}

#[cfg(test)]
mod tests;
