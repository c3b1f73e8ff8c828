//! Detects that a caller does not read: its call has a chunk or was woken, and is not polled.
//!
//! hyper polls a response body only while the flow-control window of the stream is not full. After a chunk, or after a wake, the next poll
//! follows at once unless the window is full.
//!
//! A poll is on the path of every chunk, so it takes no lock and reads no clock. The sweep of [`super::registry`] reads the clock.

use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::woken::Woken;

/// The reading of a caller.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Whether there was a chunk or a wake after the last poll began.
    woken: Woken,
    polls: u64,
    unread: Option<Unread>,
}

/// The first sweep that found something to read after the last poll.
#[derive(Clone, Copy, Debug)]
struct Unread {
    polls: u64,
    since: Instant,
}

impl Reading {
    /// Begins a poll of the task in `cx`. Returns the waker to poll with.
    pub(crate) fn begin_poll(&mut self, cx: &Context<'_>) -> Waker {
        self.woken.wakes(cx);
        self.woken.forget();
        self.polls += 1;
        self.woken.waker().clone()
    }

    /// Ends a poll.
    pub(crate) fn end_poll<T>(&self, polled: &Poll<T>) {
        if polled.is_ready() {
            self.woken.set();
        }
    }

    /// Wakes the task.
    pub(crate) fn wake(&self) {
        self.woken.waker().wake_by_ref();
    }

    /// Since when, as far as sweeps have seen, the caller has not read although there is something to read.
    pub(crate) fn unread_since(&mut self, now: Instant) -> Option<Instant> {
        let polls = self.polls;
        let before = self.unread.filter(|unread| unread.polls == polls);
        self.unread = self.woken.is_woken().then(|| before.unwrap_or(Unread { polls, since: now }));
        self.unread.map(|unread| unread.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_does_not_read_from_the_first_sweep_that_finds_something_until_the_next_poll() {
        let (mut reading, cx) = (Reading::default(), Context::from_waker(Waker::noop()));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let waker = reading.begin_poll(&cx);
        reading.end_poll(&Poll::<()>::Pending);
        assert_eq!(reading.unread_since(at(1)), None, "there is nothing to read");
        waker.wake_by_ref();
        assert_eq!(reading.unread_since(at(2)), Some(at(2)));
        assert_eq!(reading.unread_since(at(9)), Some(at(2)));
        let _ = reading.begin_poll(&cx);
        assert_eq!(reading.unread_since(at(10)), None);
        reading.end_poll(&Poll::Ready(()));
        assert_eq!(reading.unread_since(at(11)), Some(at(11)), "a chunk was taken, and the next was not asked for");
        let _ = reading.begin_poll(&cx);
        reading.end_poll(&Poll::Ready(()));
        assert_eq!(reading.unread_since(at(12)), Some(at(12)), "it was asked for in between");
    }
}
