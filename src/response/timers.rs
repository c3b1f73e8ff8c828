//! The timers of a call: its time limit and its heartbeat.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};

use crate::{
    error::{Error, Reason},
    request::timeouts::Deadline,
};

/// The time at which a call must end: the total timeout or the caller's deadline, whichever is sooner.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    at: Instant,
    total: Duration,
    by_caller: bool,
    timer: Pin<Box<Sleep>>,
}

impl TimeLimit {
    /// For a call that began at `began`.
    pub(crate) fn new(began: Instant, total: Duration, deadline: Option<Deadline>) -> Self {
        let by_total = began + total;
        let by_caller = deadline.map(|Deadline(at)| at).filter(|at| *at < by_total);
        let at = by_caller.unwrap_or(by_total);
        Self { at, total, by_caller: by_caller.is_some(), timer: Box::pin(sleep_until(at)) }
    }

    /// The time at which the call must end.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Runs a step of the call until the limit has passed. The step is dropped then.
    ///
    /// # Errors
    /// `TOTAL_TIMEOUT`, `CALLER_DEADLINE`, and those of the step.
    pub(crate) async fn run<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout_at(self.at, step).await.unwrap_or_else(|_| Err(self.error()))
    }

    /// Ready when the limit has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }

    /// The error of a call that reaches its limit.
    pub(crate) fn error(&self) -> Error {
        let total = self.total;
        if self.by_caller {
            let message = "the caller's deadline passed before the answer was complete. Allow more time";
            return Error::new(Reason::CallerDeadline, message);
        }
        let message = format!("the answer was not complete after {total:?}. Allow more time with time_limits.total");
        Error::new(Reason::TotalTimeout, message)
    }
}

/// The timer of heartbeats. A heartbeat is due when no chunk was sent for the interval.
#[derive(Debug)]
pub(crate) struct HeartbeatTimer {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    due: bool,
}

impl HeartbeatTimer {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, timer: Box::pin(sleep(interval)), due: false }
    }

    /// Ready when a heartbeat is due.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.due {
            ready!(self.timer.as_mut().poll(cx));
            self.due = true;
        }
        Poll::Ready(())
    }

    /// Restarts the interval after a chunk was sent.
    pub(crate) fn sent(&mut self) {
        self.due = false;
        self.timer.as_mut().reset(Instant::now() + self.interval);
    }
}
