//! Counts of requests, streams and connections, with the history of requests.
//!
//! [`crate::Emulator`] and `GET /_emulator/…` return them.

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::history::{AnsweredRequest, History};

/// Counts since the emulator started. A stream that has ended is in exactly one of `completed`, `faulted` and `abandoned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that reached an operation.
    pub requests: u64,
    /// Requests answered with an HTTP error.
    pub refused: u64,
    /// Streams that have begun.
    pub opened: u64,
    /// Streams sent to their end.
    pub completed: u64,
    /// Streams ended by the fault in their script.
    pub faulted: u64,
    /// Streams that the client cancelled before their end.
    pub abandoned: u64,
    /// Bytes of streams handed to HTTP.
    pub bytes_sent: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open.
    pub open_connections: u64,
}

impl Stats {
    /// Streams that have begun and not ended.
    pub fn running(&self) -> u64 {
        self.opened - self.completed - self.faulted - self.abandoned
    }
}

/// The counts and the requests.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stats: watch::Sender<Stats>,
    pub(crate) history: History,
}

impl Ledger {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    /// Waits until so many requests satisfy a condition, and returns them.
    pub(crate) async fn wait_for(
        &self,
        count: usize,
        mut wanted: impl FnMut(&AnsweredRequest) -> bool,
    ) -> Vec<AnsweredRequest> {
        let mut watch = self.watch();
        loop {
            // Before the look, so that what comes after it is seen.
            watch.mark_unchanged();
            let found = self.history.find(&mut wanted);
            // The sender is in `self`, so the wait does not fail.
            if found.len() >= count || watch.changed().await.is_err() {
                return found;
            }
        }
    }

    pub(crate) fn stats_json(&self) -> Value {
        let stats = self.stats();
        json!({
            "requests": stats.requests, "refused": stats.refused, "opened": stats.opened, "completed": stats.completed,
            "faulted": stats.faulted, "abandoned": stats.abandoned, "running": stats.running(),
            "bytesSent": stats.bytes_sent, "connections": stats.connections,
            "openConnections": stats.open_connections,
        })
    }
}
