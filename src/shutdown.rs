//! Graceful shutdown: refuses new calls and waits for calls in flight.
//!
//! [`crate::edge::gates`] takes an [`InFlight`] for each call, [`crate::response::call`] holds it, and [`crate::app`] runs the steps.
//!
//! - [`steps`] not ready, lame duck, GOAWAY, refuse, grace, force, close
//! - `signals` SIGTERM and Ctrl-C
//! - [`runtime`] the end of the process, also while a write hangs

pub mod runtime;
mod signals;
pub mod steps;

use tokio::runtime::Handle;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

pub use self::{signals::Signals, steps::Ended};
use crate::error::{Error, Reason};

/// The state of the shutdown. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    running: TaskTracker,
    refusing: CancellationToken,
    revoked: CancellationToken,
}

/// A call in flight. The shutdown waits until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    _running: TaskTrackerToken,
    shutdown: Shutdown,
}

impl Shutdown {
    /// Registers a call, unless new calls are refused.
    ///
    /// # Errors
    /// `DRAINING`.
    pub fn enter(&self) -> Result<InFlight, Error> {
        // Counted before the check, so that the shutdown waits for every call that passes the check.
        let running = self.running.token();
        if self.refusing.is_cancelled() {
            return Err(Self::refusal());
        }
        Ok(InFlight { _running: running, shutdown: self.clone() })
    }

    /// Refuses new calls from now on.
    pub fn begin(&self) {
        self.refusing.cancel();
    }

    /// The number of calls in flight.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Waits until no call is in flight.
    pub async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Forces the shutdown: ends calls that are not streams.
    pub fn revoke(&self) {
        self.revoked.cancel();
    }

    /// The error of a new call during a shutdown.
    pub(crate) fn refusal() -> Error {
        let message = "the server is shutting down. Retry at another server";
        Error::new(Reason::Draining, message).with_metadata("drain", "refusing".to_owned())
    }

    /// The error of a running call at the end of the grace period.
    pub fn revocation() -> Error {
        let message = "the server is shutting down and its grace period is over. Retry at another server";
        Error::new(Reason::Draining, message).with_metadata("drain", "force".to_owned())
    }
}

impl InFlight {
    /// Runs a step of a call until the server forces the shutdown. After that the step is not polled, so that it does not begin anything.
    pub async fn unless_revoked<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.revoked() => Err(Shutdown::revocation()),
            result = call => result,
        }
    }

    /// Ready when the server forces the shutdown.
    pub(crate) fn revoked(&self) -> WaitForCancellationFutureOwned {
        self.shutdown.revoked.clone().cancelled_owned()
    }

    /// Whether the server forces the shutdown.
    pub(crate) fn is_revoked(&self) -> bool {
        self.shutdown.revoked.is_cancelled()
    }

    /// Runs the rest of a call in the background. The shutdown waits for it as for any other call.
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
    async fn a_call_in_the_background_is_waited_for_too() {
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
