//! Ending without cutting anybody off: who is still served, who is refused, and when waiting is over.
//!
//! [`crate::service`] asks for an [`InFlight`] for each call, [`crate::response::stream`] holds it, and [`crate::app`] walks the steps.
//!
//! - [`steps`] not ready -> lame duck -> GOAWAY -> refuse -> grace -> force -> connections close
//! - `signals` what begins and what hurries it

mod signals;
pub mod steps;

use tokio::runtime::Handle;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub use self::{signals::Signals, steps::Ended};
use crate::error::{Error, Reason};

/// The state of the server's life; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    running: TaskTracker,
    refusing: CancellationToken,
    revoked: CancellationToken,
}

/// The right of one call to be served. The server waits until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    _running: TaskTrackerToken,
    shutdown: Shutdown,
}

impl Shutdown {
    /// Admits a call, unless the server is draining.
    pub fn enter(&self) -> Result<InFlight, Error> {
        // Counted first: a call that finds the server open is then surely waited for.
        let running = self.running.token();
        if self.refusing.is_cancelled() {
            return Err(Self::refusal());
        }
        Ok(InFlight { _running: running, shutdown: self.clone() })
    }

    /// From here on calls are refused.
    pub fn begin(&self) {
        self.refusing.cancel();
    }

    /// How many calls are being served.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Waits until no call is being served.
    pub async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Ends what is not a stream and is still being served.
    pub fn revoke(&self) {
        self.revoked.cancel();
    }

    /// What a new call is told.
    pub(crate) fn refusal() -> Error {
        let message = "the server is shutting down. Try again elsewhere";
        Error::new(Reason::Draining, message).with_metadata("drain", "refusing".to_owned())
    }

    /// What a call is told that the server can wait for no longer.
    pub fn revocation() -> Error {
        let message = "the server is shutting down and its grace period is over. Try again elsewhere";
        Error::new(Reason::Draining, message).with_metadata("drain", "force".to_owned())
    }
}

impl InFlight {
    /// What comes of a call that is no stream, unless the server can wait for it no longer. From then on the call is not polled, so that
    /// it begins nothing.
    pub async fn unless_revoked<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.revoked() => Err(Shutdown::revocation()),
            result = call => result,
        }
    }

    /// Ready when the server can wait no longer.
    pub(crate) fn revoked(&self) -> WaitForCancellationFutureOwned {
        self.shutdown.revoked.clone().cancelled_owned()
    }

    /// Whether the server no longer waits for calls.
    pub(crate) fn is_revoked(&self) -> bool {
        self.shutdown.revoked.is_cancelled()
    }

    /// Runs the rest of a call in the background. The server waits for it as for any other call.
    pub(crate) fn spawn(&self, runtime: &Handle, rest: impl Future<Output = ()> + Send + 'static) {
        let running = self.shutdown.running.clone();
        running.spawn_on(rest, runtime);
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn draining_refuses_new_calls_and_waits_for_running_ones() {
        let shutdown = Shutdown::default();
        let call = shutdown.enter().unwrap();
        shutdown.begin();
        assert_eq!(shutdown.enter().unwrap_err().reason(), Reason::Draining);
        let finished = shutdown.finished();
        tokio::pin!(finished);
        assert!(poll(finished.as_mut()).is_pending());
        drop(call);
        finished.await;
    }

    #[tokio::test]
    async fn what_nobody_polls_is_waited_for_too() {
        let shutdown = Shutdown::default();
        let call = shutdown.enter().unwrap();
        let revoked = call.revoked();
        call.spawn(&Handle::current(), revoked);
        drop(call);
        shutdown.begin();
        let finished = shutdown.finished();
        tokio::pin!(finished);
        assert!(poll(finished.as_mut()).is_pending());
        shutdown.revoke();
        finished.await;
    }

    #[tokio::test]
    async fn after_a_forced_shutdown_no_call_begins_anything() {
        let shutdown = Shutdown::default();
        let call = shutdown.enter().unwrap();
        shutdown.revoke();
        for _ in 0..100 {
            let begun = call.unless_revoked(async { Ok("begun") }).await;
            assert_eq!(begun.unwrap_err().reason(), Reason::Draining);
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
