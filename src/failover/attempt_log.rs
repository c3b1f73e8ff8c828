//! The attempts of a call. A status lists them, also if the call is ended while an attempt is running.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::HeaderMap;
use parking_lot::Mutex;

use crate::{
    error::{CallContext, Reason},
    proto::{Attempt, QuotaWait},
    quota::ledger::waiting::WaitingCall,
    telemetry::{call::CallRecord, queue::in_queue},
};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptLog(Arc<Entries>);

#[derive(Debug, Default)]
struct Entries {
    state: Mutex<State>,
    stopped: AtomicBool,
    /// Learns of every attempt.
    record: Option<Arc<CallRecord>>,
}

#[derive(Debug, Default)]
struct State {
    attempts: Vec<Attempt>,
    /// The AWS request id of the last attempt, if Bedrock has answered.
    request_id: String,
    /// Set while the call waits for quota.
    waiting: Option<WaitingCall>,
}

impl AttemptLog {
    /// The attempts of the call with this record.
    pub(crate) fn of(record: &Arc<CallRecord>) -> Self {
        Self(Arc::new(Entries { record: Some(Arc::clone(record)), ..Entries::default() }))
    }

    /// The context of the last attempt, which may be running, with all attempts.
    pub(crate) fn call(&self) -> CallContext {
        let State { attempts, request_id, .. } = &*self.0.state.lock();
        let last = attempts.last().cloned().unwrap_or_default();
        CallContext {
            model_id: last.model_id,
            region: last.region,
            request_id: request_id.clone(),
            attempts: attempts.clone(),
        }
    }

    /// The headers that continue the trace of the call at Bedrock.
    pub(crate) fn trace_headers(&self) -> HeaderMap {
        self.0.record.as_ref().map(|record| record.trace_headers()).unwrap_or_default()
    }

    /// Records the head of Bedrock's response to the running attempt, whatever its status.
    pub(crate) fn responded(&self, http_status: u16, request_id: &str) {
        if let Some(record) = &self.0.record {
            record.attempt_responded(http_status, request_id);
        }
    }

    /// Records that Bedrock has answered the running attempt.
    pub(crate) fn opened(&self, request_id: &str) {
        request_id.clone_into(&mut self.0.state.lock().request_id);
        if let Some(record) = &self.0.record {
            record.attempt_opened(request_id);
        }
    }

    /// Waits for quota, if there is none now, and records the wait.
    pub(super) async fn in_queue<T, E>(&self, reserved: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        match &self.0.record {
            Some(record) => in_queue(record, reserved).await,
            None => reserved.await,
        }
    }

    /// Records that the call begins to wait for quota, or no longer waits.
    pub(super) fn waits(&self, waiting: Option<WaitingCall>) {
        self.0.state.lock().waiting = waiting;
    }

    /// The wait for quota, while the call waits.
    pub(crate) fn quota_wait(&self) -> Option<QuotaWait> {
        let waiting = self.0.state.lock().waiting.clone();
        waiting?.status()
    }

    /// Whether the call waits for quota, so that no attempt is running.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.state.lock().waiting.is_some()
    }

    /// Begins no further attempt, because the call is abandoned.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn begun(&self, attempt: Attempt) {
        if let Some(record) = &self.0.record {
            record.attempt_begun(&attempt);
        }
        let mut state = self.0.state.lock();
        state.attempts.reserve_exact(1);
        state.attempts.push(attempt);
        state.request_id.clear();
    }

    /// Records that the running attempt has brought content.
    pub(super) fn answered(&self) {
        if let Some(record) = &self.0.record {
            record.attempt_ended(None);
        }
    }

    pub(super) fn failed(&self, reason: Reason) {
        if let Some(record) = &self.0.record {
            record.attempt_ended(Some(reason));
        }
        if let Some(last) = self.0.state.lock().attempts.last_mut() {
            reason.name().clone_into(&mut last.reason);
        }
    }
}
