//! All running calls, for the server to end one that nobody polls: a caller who does not read is not told that its time is over,
//! but must not hold a place and a call to Bedrock for it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::{error::Error, response::call::Call};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallRegistry(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    running: HashMap<u64, Weak<Mutex<Call>>>,
}

/// A call's entry, struck out when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: CallRegistry,
    number: u64,
}

impl CallRegistry {
    pub(crate) fn enter(&self, call: &Arc<Mutex<Call>>) -> Entry {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.running.insert(number, Arc::downgrade(call));
        Entry { registry: self.clone(), number }
    }

    /// Ends the calls that should be over. Those that are polled end by themselves.
    pub(crate) fn end_overdue(&self) {
        let now = Instant::now();
        for call in self.running() {
            // One that is locked is being polled.
            if let Some(mut call) = call.try_lock()
                && call.must_end_at() <= now
            {
                call.end_overdue();
            }
        }
    }

    /// Ends all calls.
    pub(crate) fn end_all(&self, error: impl Fn() -> Error) {
        for call in self.running() {
            call.lock().end(error());
        }
    }

    fn running(&self) -> Vec<Arc<Mutex<Call>>> {
        self.calls().running.values().filter_map(Weak::upgrade).collect()
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
