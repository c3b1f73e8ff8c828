//! The attempts that one call has made so far. The call itself writes them; a status that ends the call from outside lists them too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::{
    error::{CallContext, Reason},
    proto::Attempt,
};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptLog(Arc<Entries>);

#[derive(Debug, Default)]
struct Entries {
    made: Mutex<Made>,
    caller_left: AtomicBool,
}

#[derive(Debug, Default)]
struct Made {
    attempts: Vec<Attempt>,
    /// Of the last attempt, once Bedrock has answered it.
    request_id: String,
}

impl AttemptLog {
    /// All attempts, the one that is being made among them.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.0.made.lock().attempts.clone()
    }

    /// What is known about the call to Bedrock: that of the last attempt.
    pub(crate) fn call(&self) -> CallContext {
        let Made { attempts, request_id } = &*self.0.made.lock();
        let last = attempts.last().cloned().unwrap_or_default();
        CallContext {
            model_id: last.model_id,
            region: last.region,
            request_id: request_id.clone(),
            attempts: attempts.clone(),
        }
    }

    /// Bedrock has answered the attempt that is being made.
    pub(crate) fn opened(&self, request_id: &str) {
        request_id.clone_into(&mut self.0.made.lock().request_id);
    }

    /// From here on no attempt is begun.
    pub(crate) fn leave(&self) {
        self.0.caller_left.store(true, Ordering::Relaxed);
    }

    pub(super) fn caller_left(&self) -> bool {
        self.0.caller_left.load(Ordering::Relaxed)
    }

    pub(super) fn begun(&self, attempt: Attempt) {
        let mut made = self.0.made.lock();
        made.attempts.push(attempt);
        made.request_id.clear();
    }

    pub(super) fn failed(&self, reason: Reason) {
        if let Some(last) = self.0.made.lock().attempts.last_mut() {
            reason.name().clone_into(&mut last.reason);
        }
    }
}
