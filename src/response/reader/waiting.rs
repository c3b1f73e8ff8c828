//! The timers of a reader: the idle timeout, and the grace periods after the end of the message.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    error::{Error, Reason},
    response::timers::Timer,
};

/// The time for Bedrock to close a stream after both terminal events. It usually closes at once; a connection that stays open must not
/// delay a complete answer.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The time for `metadata` after `messageStop`. Without it the answer is complete, and its usage is unknown.
const METADATA_GRACE: Duration = Duration::from_secs(5);

/// The grace periods after the end of the message.
#[derive(Debug, Default)]
pub(super) struct Grace {
    /// The times at which the message ended, without metadata and with it.
    ended: [Option<Instant>; 2],
    timer: Option<Pin<Box<Sleep>>>,
}

/// The idle timeout. It runs while there is nothing to read, and not while the caller does not read, because then nothing is polled.
#[derive(Debug)]
pub(super) struct IdleTimer {
    limit: Duration,
    /// The number of bytes that were received when it began. `None` while there is something to read.
    received: Option<u64>,
    since: Instant,
    timer: Timer,
}

impl Grace {
    /// Ready when the grace period has passed. `complete` says whether the metadata has arrived.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>, complete: bool) -> Poll<()> {
        let limit = if complete { CLOSE_GRACE } else { METADATA_GRACE };
        let over = *self.ended[usize::from(complete)].get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(over)));
        if timer.deadline() != over {
            timer.as_mut().reset(over);
        }
        timer.as_mut().poll(cx)
    }
}

impl IdleTimer {
    pub(super) fn new(limit: Duration) -> Self {
        let since = Instant::now();
        Self { limit, received: None, since, timer: Timer::new(since + limit) }
    }

    /// There is something to read.
    pub(super) fn stop(&mut self) {
        self.received = None;
    }

    /// Ready when nothing was received for the limit. `received` is the number of bytes received so far.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<()> {
        let now = Instant::now();
        if self.received != Some(received) {
            self.received = Some(received);
            self.since = now;
        }
        self.timer.poll_passed(self.since + self.limit, now, cx)
    }

    pub(super) fn error(&self) -> Error {
        let limit = self.limit;
        let message = format!(
            "Bedrock sent nothing for {limit:?} in the middle of the answer. Try again, or allow more with time_limits.idle"
        );
        Error::new(Reason::IdleTimeout, message)
    }
}
