//! All running calls, so that the server can end one that is not polled.
//!
//! If a caller does not read, its call is not polled and its timers do not fire. Such a call must not keep its permits and its request
//! to Bedrock.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::{error::Error, identity::Identity, response::call::Call};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallRegistry(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    running: HashMap<u64, Running>,
}

#[derive(Debug)]
struct Running {
    call: Weak<Mutex<Call>>,
    identity: Identity,
}

/// A call's entry. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: CallRegistry,
    number: u64,
}

impl CallRegistry {
    pub(crate) fn enter(&self, call: &Arc<Mutex<Call>>, identity: Identity) -> Entry {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.running.insert(number, Running { call: Arc::downgrade(call), identity });
        Entry { registry: self.clone(), number }
    }

    /// Ends calls that have passed their time limit, and calls whose callers have not read for `unread`. Calls that are polled end by
    /// themselves.
    pub(crate) fn end_overdue(&self, unread: Duration) {
        let now = Instant::now();
        for call in self.running(|_| true) {
            // A locked call is being polled.
            if let Some(mut call) = call.try_lock()
                && let Some(error) = call.overdue(now, unread)
            {
                call.end(error);
            }
        }
    }

    /// Ends all calls.
    pub(crate) fn end_all(&self, error: impl Fn() -> Error) {
        self.end_where(|_| true, error);
    }

    /// Ends the calls of some identities.
    pub(crate) fn end_where(&self, ends: impl Fn(&Identity) -> bool, error: impl Fn() -> Error) {
        for call in self.running(ends) {
            call.lock().end(error());
        }
    }

    fn running(&self, wanted: impl Fn(&Identity) -> bool) -> Vec<Arc<Mutex<Call>>> {
        let calls = self.calls();
        calls.running.values().filter(|one| wanted(&one.identity)).filter_map(|one| one.call.upgrade()).collect()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.calls().running.remove(&self.number);
    }
}
