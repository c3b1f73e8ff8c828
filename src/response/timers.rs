//! The timers of a call: its time limit and its heartbeat.
//!
//! They are polled for every chunk, and nearly never over. So a [`Timer`] is armed once, and compares two times
//! then.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

use crate::{
    error::{Error, Reason},
    request::timeouts::Deadline,
};

/// A timer whose time can move to a later one.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When it fires.
    set_to: Instant,
    /// The task that it wakes then.
    armed_for: Option<Waker>,
}

impl Timer {
    /// A timer that fires at this time at the earliest.
    pub(crate) fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)), set_to: at, armed_for: None }
    }

    /// Ready when this time has passed. It is not before those of the polls before.
    pub(crate) fn poll_passed(&mut self, at: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let is_armed = self.armed_for.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if is_armed && now < self.set_to {
            return Poll::Pending;
        }
        self.armed_for = Some(cx.waker().clone());
        loop {
            // A task that has spent its budget would not be registered, and the timer is polled once.
            ready!(pin!(unconstrained(self.sleep.as_mut())).poll(cx));
            if at <= self.set_to {
                return Poll::Ready(());
            }
            self.set_to = at;
            self.sleep.as_mut().reset(at);
        }
    }
}

/// The time at which a call must end: the total timeout or the caller's deadline, whichever is sooner.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    at: Instant,
    total: Duration,
    by_caller: bool,
    timer: Timer,
}

impl TimeLimit {
    /// For a call that began at `began`.
    pub(crate) fn new(began: Instant, total: Duration, deadline: Option<Deadline>) -> Self {
        let by_total = began + total;
        let by_caller = deadline.map(|Deadline(at)| at).filter(|at| *at < by_total);
        let at = by_caller.unwrap_or(by_total);
        Self { at, total, by_caller: by_caller.is_some(), timer: Timer::new(at) }
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
    pub(crate) fn poll_passed(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_passed(self.at, now, cx)
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
    /// `None` when a heartbeat is due.
    next: Option<Instant>,
    timer: Timer,
}

impl HeartbeatTimer {
    pub(crate) fn new(interval: Duration) -> Self {
        let next = Instant::now() + interval;
        Self { interval, next: Some(next), timer: Timer::new(next) }
    }

    /// Ready when a heartbeat is due.
    pub(crate) fn poll_due(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(next) = self.next {
            ready!(self.timer.poll_passed(next, now, cx));
            self.next = None;
        }
        Poll::Ready(())
    }

    /// Restarts the interval after a chunk was sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.next = Some(now + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        task::coop::{consume_budget, has_budget_remaining},
        time::timeout,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_polled_without_budget_fires() {
        let at = Instant::now() + Duration::from_secs(1);
        let mut timer = Timer::new(at);
        poll_fn(|cx| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            assert!(timer.poll_passed(at, Instant::now(), cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let fired = poll_fn(|cx| timer.poll_passed(at, Instant::now(), cx));
        timeout(Duration::from_mins(1), fired).await.unwrap();
        assert_eq!(Instant::now(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_fires_at_its_last_time_and_for_the_task_that_waits() {
        let start = Instant::now();
        let mut timer = Timer::new(start + Duration::from_secs(1));
        assert!(
            poll_fn(|cx| Poll::Ready(timer.poll_passed(start + Duration::from_secs(1), start, cx))).await.is_pending()
        );
        // Another task, with a later time.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let at = start + Duration::from_secs(5);
            poll_fn(|cx| timer.poll_passed(at, Instant::now(), cx)).await;
            Instant::now()
        });
        assert_eq!(tasks.join_next().await.unwrap().unwrap(), start + Duration::from_secs(5));
    }
}
