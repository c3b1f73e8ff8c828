//! Everything that one stream owns: the attempts or the answer, its time, its place, its books.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use outcrop_contract::is_finish;

use crate::{
    admission::StreamPermits,
    conversation::RunningTurn,
    error::{CallContext, Error, Reason},
    event::Used,
    failover::attempt_log::AttemptLog,
    proto::{AbandonmentMode, Chunk, Heartbeat, chunk::Event},
    request::{Serving, timeouts::Deadline},
    response::{
        abandoned::{AbandonedCalls, Left},
        pending::PendingResponse,
        reader::ResponseReader,
        usage::UsageAccounting,
    },
    shutdown::InFlight,
};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Call {
    state: State,
    attempts: AttemptLog,
    time_limit: TimeLimit,
    heartbeat: Option<HeartbeatTimer>,
    abandonment: AbandonmentMode,
    /// The conversation that this is a turn of.
    turn: Option<RunningTurn>,
    /// Who waits for this call, for whoever ends it from outside.
    waker: Option<Waker>,
    /// What has to be given back or settled; `None` once the call is over.
    held: Option<Held>,
}

#[derive(Debug)]
enum State {
    Pending(PendingResponse),
    Reading(Box<ResponseReader>),
    /// Ended, and by this error if there is one that has not been told yet.
    Over(Option<Error>),
}

#[derive(Debug)]
struct Held {
    account: UsageAccounting,
    _places: StreamPermits,
    /// Keeps the server from shutting down under the call.
    in_flight: InFlight,
}

/// When a call must be over: by the server's or the request's limit, or by the caller's own deadline, whichever is sooner.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    at: Instant,
    total: Duration,
    callers: bool,
    timer: Pin<Box<Sleep>>,
}

/// Sends a sign of life when nothing else was sent for a while.
#[derive(Debug)]
struct HeartbeatTimer {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    due: bool,
}

impl TimeLimit {
    /// For a call that began at `began`.
    pub(crate) fn new(began: Instant, total: Duration, deadline: Option<Deadline>) -> Self {
        let by_total = began + total;
        let by_caller = deadline.map(|Deadline(at)| at).filter(|at| *at < by_total);
        let at = by_caller.unwrap_or(by_total);
        Self { at, total, callers: by_caller.is_some(), timer: Box::pin(sleep_until(at)) }
    }

    /// Why a call ends that has come to them.
    pub(crate) fn error(&self) -> Error {
        let total = self.total;
        if self.callers {
            let message = "the caller's deadline passed before the answer was whole. Allow more time";
            return Error::new(Reason::CallerDeadline, message);
        }
        let message = format!("the answer was not whole after {total:?}. Allow more time with time_limits.total");
        Error::new(Reason::TotalTimeout, message)
    }
}

impl HeartbeatTimer {
    fn new(interval: Duration) -> Self {
        Self { interval, timer: Box::pin(sleep(interval)), due: false }
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.due {
            ready!(self.timer.as_mut().poll(cx));
            self.due = true;
        }
        Poll::Ready(())
    }

    /// Something was sent.
    fn sent(&mut self) {
        self.due = false;
        self.timer.as_mut().reset(Instant::now() + self.interval);
    }
}

impl Call {
    /// A call that is admitted and not yet answered.
    pub(crate) fn new(
        (opening, attempts): (PendingResponse, AttemptLog),
        turn: Option<RunningTurn>,
        (time_limit, serving): (TimeLimit, Serving),
        (account, places, in_flight): (UsageAccounting, StreamPermits, InFlight),
    ) -> Self {
        Self {
            state: State::Pending(opening),
            attempts,
            time_limit,
            heartbeat: serving.heartbeat.map(HeartbeatTimer::new),
            abandonment: serving.abandonment,
            turn,
            waker: None,
            held: Some(Held { account, _places: places, in_flight }),
        }
    }

    /// Polls until there is a chunk to [`Call::pop`], or the call is over.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let filled = self.poll_state(cx);
        if filled.is_pending() {
            match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        filled
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !matches!(self.state, State::Over(_)) && self.time_limit.timer.as_mut().poll(cx).is_ready() {
                self.end_overdue();
            }
            let polled = match &mut self.state {
                State::Over(error) => return Poll::Ready(error.take().map_or(Ok(()), Err)),
                State::Pending(opening) => match Pin::new(opening).poll(cx) {
                    Poll::Ready(Ok(reading)) => {
                        self.state = State::Reading(reading);
                        if let Some(held) = &self.held {
                            held.account.answered();
                        }
                        continue;
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                },
                State::Reading(reading) => match (reading.poll_fill(cx, true), &mut self.turn) {
                    // The caller learns that the answer is whole when it is kept.
                    (Poll::Ready(Ok(())), Some(turn)) if let Some(finish) = reading.finish() => {
                        let stored = ready!(turn.poll_store(cx, finish));
                        Poll::Ready(stored.map_err(|error| reading.fail(error)))
                    }
                    (filled, _) => filled,
                },
            };
            match polled {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => self.over(error),
                Poll::Pending => {
                    let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
                    ready!(heartbeat.poll_due(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// The chunk that is there, or `None` if the call is over.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = match &mut self.state {
            State::Over(_) => return None,
            State::Pending(_) => None,
            State::Reading(reading) => match reading.pop() {
                Some(chunk) => {
                    if let Some(turn) = self.turn.as_mut().filter(|_| !is_finish(&chunk)) {
                        turn.add(&chunk);
                    }
                    Some(chunk)
                }
                // Filled, and empty: it has ended, unless only a heartbeat was due.
                None if reading.is_spent() => {
                    self.finish();
                    return None;
                }
                None => None,
            },
        };
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.sent();
        }
        Some(chunk.unwrap_or_else(|| Chunk { event: Some(Event::Heartbeat(Heartbeat {})), ..Chunk::default() }))
    }

    /// When the call must be over.
    pub(crate) fn must_end_at(&self) -> Instant {
        self.time_limit.at
    }

    /// Ends the call from outside of its answer, unless the answer is whole but for the end of its bytes.
    pub(crate) fn end(&mut self, error: Error) {
        match &mut self.state {
            State::Over(_) => return,
            State::Reading(reading) => {
                if reading.complete() {
                    // It is sent, if ever its caller reads it; nothing more is held for it.
                    let (call, used) = (reading.call().clone(), reading.used());
                    self.finished(&call, used);
                } else {
                    let error = reading.fail(error);
                    self.over(error);
                }
            }
            State::Pending(_) => {
                let error = error.after(self.attempts.call());
                self.over(error);
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The same for a call that must end because of its limits.
    pub(crate) fn end_overdue(&mut self) {
        let error = self.time_limit.error();
        self.end(error);
    }

    /// The caller has gone.
    pub(crate) fn leave(&mut self, drains: &AbandonedCalls) {
        self.attempts.leave();
        self.turn = None;
        let left = match mem::replace(&mut self.state, State::Over(None)) {
            State::Pending(opening) => Left::Pending(opening),
            // All was sent; only that nothing follows was not.
            State::Reading(reading) if reading.is_spent() => return self.finished(reading.call(), reading.used()),
            State::Reading(reading) => Left::Reading(reading),
            State::Over(_) => return,
        };
        if let Some(Held { account, in_flight, .. }) = self.held.take() {
            drains.leave(left, self.abandonment, account, in_flight);
        }
    }

    fn finish(&mut self) {
        if let State::Reading(reading) = mem::replace(&mut self.state, State::Over(None)) {
            self.finished(reading.call(), reading.used());
        }
    }

    fn finished(&mut self, call: &CallContext, used: Option<Used>) {
        if let Some(Held { account, .. }) = self.held.take() {
            account.finished(call, used);
        }
    }

    /// The call has failed: nothing comes after it, and everything is given back.
    fn over(&mut self, error: Error) {
        let used = match &self.state {
            State::Reading(reading) => reading.used(),
            _ => None,
        };
        if let Some(Held { account, .. }) = self.held.take() {
            account.failed(&error, used);
        }
        self.turn = None;
        self.state = State::Over(Some(error));
    }
}
