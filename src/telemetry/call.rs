//! The record of a call, from its headers to its end.
//!
//! [`crate::edge::grpc`] makes it before anything about the call is decided, and the modules after it add what they learn. It ends exactly
//! once: with the first [`CallRecord::end`], or when it is dropped, because the caller left. Then the call has one event in the log, one line
//! in the audit log, and is counted once.

use std::{sync::Arc, time::Duration};

use http::{Extensions, HeaderMap};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    admission::client::ClientId,
    audit::AuditedCall,
    error::{CallContext, Error, Reason},
    identity::Identity,
    metrics::Metrics,
    outcome::{Answer, CallSummary, Outcome},
    proto::Attempt,
    request::generation_id::GenerationId,
    telemetry::{
        event,
        observer::{ChunkMeter, ObservedCall, request::Asked},
    },
};

/// The service whose calls are for callers. The others are asked by load balancers and tools, many times.
pub(crate) const GENERATION: &str = "/outcrop.v1.GenerationService/";

/// The record of a call.
#[derive(Debug)]
pub(crate) struct CallRecord {
    path: String,
    generation_id: GenerationId,
    began: Instant,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    client: Option<ClientId>,
    identity: Option<Identity>,
    audited: Option<AuditedCall>,
    model: String,
    model_label: String,
    /// The attempts, of which the last one may be running.
    attempts: CallContext,
    /// When the running attempt began.
    attempt_began: Option<Instant>,
    /// The time in the queue.
    queued: Duration,
    first_content: Option<Duration>,
    /// What a collector is told.
    observed: ObservedCall,
    /// Whether it has become a stream, which ends it.
    is_stream: bool,
    has_ended: bool,
}

impl CallRecord {
    /// Begins the record of a call of this method, given by its path.
    pub(crate) fn begin(
        path: &str,
        generation_id: GenerationId,
        metrics: Metrics,
        observed: ObservedCall,
    ) -> Arc<Self> {
        let state = Mutex::new(State { observed, ..State::default() });
        Arc::new(Self { path: path.to_owned(), generation_id, began: Instant::now(), metrics, state })
    }

    /// The record of the call with these extensions.
    ///
    /// # Errors
    /// `INTERNAL` if the call did not pass the edge.
    pub(crate) fn of(extensions: &Extensions) -> Result<Arc<Self>, Error> {
        let record = extensions.get().cloned();
        record.ok_or_else(|| Error::new(Reason::Internal, "the call did not pass the edge of the server"))
    }

    /// The id of the call.
    pub(crate) fn generation_id(&self) -> &GenerationId {
        &self.generation_id
    }

    /// Records the client that sends the call.
    pub(crate) fn came_from(&self, client: &ClientId) {
        let mut state = self.state.lock();
        state.observed.came_from(client);
        state.client = Some(client.clone());
    }

    /// Records who makes the call.
    pub(crate) fn identified(&self, identity: &Identity) {
        let mut state = self.state.lock();
        state.observed.identified(identity.caller());
        state.identity = Some(identity.clone());
    }

    /// Adds the line in the audit log, which is written when the call ends.
    pub(crate) fn audited(&self, audited: AuditedCall) {
        self.state.lock().audited = Some(audited);
    }

    /// Records the model that the checked request names. `is_configured` tells whether the settings of models
    /// name it too; the permissions of the caller can.
    pub(crate) fn requested(&self, model: &str, is_configured: bool, asked: Asked<'_>) {
        let mut state = self.state.lock();
        let named = |identity: &Identity| identity.permissions().name_model(model);
        let is_configured = is_configured || state.identity.as_ref().is_some_and(named);
        model.clone_into(&mut state.model);
        if is_configured { model } else { "other" }.clone_into(&mut state.model_label);
        let State { observed, model, model_label, .. } = &mut *state;
        observed.requested(model, model_label, asked);
    }

    /// Records that the call begins to wait in the queue.
    pub(crate) fn queued(&self) {
        self.metrics.queued();
    }

    /// Records that the call no longer waits in the queue.
    pub(crate) fn dequeued(&self, outcome: &'static str, waited: Duration) {
        self.state.lock().queued += waited;
        self.metrics.dequeued(outcome, waited);
    }

    /// Records that an attempt begins.
    pub(crate) fn attempt_begun(&self, attempt: &Attempt) {
        let mut state = self.state.lock();
        if state.attempt_began.replace(Instant::now()).is_none() {
            self.metrics.overhead(self.began.elapsed().saturating_sub(state.queued));
        }
        let State { attempts, observed, .. } = &mut *state;
        observed.attempt_begun(attempt);
        attempts.model_id.clone_from(&attempt.model_id);
        attempts.region.clone_from(&attempt.region);
        attempts.request_id.clear();
        // Nearly every call has one, and a vector would begin with room for four.
        attempts.attempts.reserve_exact(1);
        attempts.attempts.push(attempt.clone());
    }

    /// The model of the last attempt.
    pub(crate) fn model_id(&self) -> String {
        self.state.lock().attempts.model_id.clone()
    }

    /// Whether an attempt at Bedrock has begun.
    pub(crate) fn has_attempted(&self) -> bool {
        self.state.lock().attempt_began.is_some()
    }

    /// The headers that continue the trace of the call at Bedrock.
    pub(crate) fn trace_headers(&self) -> HeaderMap {
        self.state.lock().observed.upstream_headers()
    }

    /// Records the head of Bedrock's response to the running attempt, whatever its status.
    pub(crate) fn attempt_responded(&self, http_status: u16, request_id: &str) {
        self.state.lock().observed.responded(http_status, request_id);
    }

    /// Records that Bedrock has answered the running attempt.
    pub(crate) fn attempt_opened(&self, request_id: &str) {
        request_id.clone_into(&mut self.state.lock().attempts.request_id);
    }

    /// Records how the running attempt ended: with content, or for a reason.
    pub(crate) fn attempt_ended(&self, failure: Option<Reason>) {
        let mut state = self.state.lock();
        self.metrics.attempted(&state.model_label, &state.attempts.region, failure);
        // Methods without a stream have no content.
        if let (None, true, Some(began)) = (failure, state.is_stream, state.attempt_began) {
            self.metrics.attempt_answered(&state.model_label, &state.attempts.region, began.elapsed());
        }
        let State { attempts, observed, .. } = &mut *state;
        if let (Some(last), Some(reason)) = (attempts.attempts.last_mut(), failure) {
            reason.name().clone_into(&mut last.reason);
            observed.attempt_failed(reason);
        }
    }

    /// Records that the call has become a stream. From now on only the stream ends it.
    pub(crate) fn stream_begun(&self) {
        let mut state = self.state.lock();
        state.is_stream = true;
        self.metrics.stream_begun(&state.model_label);
    }

    /// Records that the first content has arrived. Returns what measures the chunks after it for a collector, if there is one.
    pub(crate) fn answered(&self) -> Option<ChunkMeter> {
        let after = self.began.elapsed();
        let mut state = self.state.lock();
        state.first_content = Some(after);
        self.metrics.first_content(&state.model_label, after);
        state.observed.answered()
    }

    /// Ends a call that never became a stream with OK.
    pub(crate) fn finish(&self) {
        self.end_without_stream(Outcome::Answered);
    }

    /// Ends a call that never became a stream with an error.
    pub(crate) fn refuse(&self, error: &Error) {
        self.end_without_stream(Outcome::Refused(error));
    }

    fn end_without_stream(&self, outcome: Outcome<'_>) {
        if !self.state.lock().is_stream {
            self.end(outcome, &Answer::default());
        }
    }

    /// Ends the call. Only the first end counts.
    pub(crate) fn end(&self, outcome: Outcome<'_>, answer: &Answer<'_>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.has_ended, true) {
            return;
        }
        let audited = state.audited.take();
        let mut observed = std::mem::take(&mut state.observed);
        let trace_id = observed.trace_id();
        let summary = CallSummary {
            method: self.path.rsplit('/').next().unwrap_or_default(),
            identity: state.identity.as_ref(),
            model: &state.model,
            model_label: &state.model_label,
            outcome,
            attempts: &state.attempts,
            duration: self.began.elapsed(),
            first_content: state.first_content,
            used: answer.used,
            stop_reason: answer.stop_reason,
            pace: answer.pace,
        };
        let at = event::Circumstances {
            generation_id: self.generation_id.as_str(),
            client: state.client.as_ref(),
            trace_id: trace_id.as_deref(),
            is_for_callers: self.path.starts_with(GENERATION),
        };
        event::log(&summary, &at);
        observed.end(&summary);
        if state.is_stream {
            self.metrics.stream_over(&state.model_label);
        }
        if self.path.starts_with(GENERATION) || !matches!(outcome, Outcome::Answered | Outcome::Left) {
            self.metrics.call_ended(&summary);
        }
        if let Some(audited) = audited {
            audited.ended(&summary);
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.end(Outcome::Left, &Answer::default());
    }
}
