//! Ending without cutting anybody off: who is still served, who is refused, and when waiting is over.
//!
//! [`crate::service`] asks for an [`Admission`] for each call, [`crate::stream`] holds it, and [`crate::app`] walks the
//! steps: refuse new calls, wait for the running ones, revoke what is left.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::error::{Error, Reason};

/// The state of the server's life; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    running: TaskTracker,
    refusing: CancellationToken,
    revoked: CancellationToken,
}

/// The right of one call to be served. The server waits until it is dropped.
#[derive(Debug)]
pub struct Admission {
    _running: TaskTrackerToken,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Drain {
    /// Admits a call, unless the server is draining.
    pub fn admit(&self) -> Result<Admission, Error> {
        // Counted first: a call that finds the server open is then surely waited for.
        let running = self.running.token();
        if self.refusing.is_cancelled() {
            return Err(Error::new(Reason::Draining, "the server is shutting down. Try again elsewhere"));
        }
        Ok(Admission { _running: running, revoked: Box::pin(self.revoked.clone().cancelled_owned()) })
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

    /// Ends the calls that are still being served.
    pub fn revoke(&self) {
        self.revoked.cancel();
    }
}

impl Admission {
    /// What comes of a call that has no stream yet, unless the server can wait for it no longer.
    pub async fn unless_revoked<T>(&mut self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            result = call => result,
            () = &mut self.revoked => Err(Self::revocation()),
        }
    }

    /// What a call is told that the server can wait for no longer.
    pub fn revocation() -> Error {
        Error::new(Reason::Draining, "the server is shutting down and its grace period is over. Try again elsewhere")
    }

    /// Ready once the call must end.
    pub fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.revoked.as_mut().poll(cx)
    }
}

/// SIGTERM and Ctrl-C. They are listened for from the moment this is made, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the process may not.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until this many signals have come.
    pub async fn count(mut self, number: usize) {
        for _ in 0..number {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_refuses_new_calls_and_waits_for_running_ones() {
        let drain = Drain::default();
        let admission = drain.admit().unwrap();
        drain.begin();
        assert_eq!(drain.admit().unwrap_err().reason(), Reason::Draining);
        let finished = drain.finished();
        tokio::pin!(finished);
        assert!(futures_poll(finished.as_mut()).is_pending());
        drop(admission);
        finished.await;
    }

    #[tokio::test]
    async fn a_revoked_call_learns_of_it() {
        let drain = Drain::default();
        let mut admission = drain.admit().unwrap();
        drain.revoke();
        std::future::poll_fn(|cx| admission.poll_revoked(cx)).await;
    }

    fn futures_poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(std::task::Waker::noop()))
    }
}
