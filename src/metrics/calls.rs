//! What is counted of calls, their streams, and the queue.

use std::time::Duration;

use super::{
    Metrics,
    registering::{Value, owned},
};
use crate::{
    error::Reason,
    event::Used,
    outcome::{CallSummary, Outcome},
};

/// The methods of the generation service. A caller can name others.
const METHODS: [&str; 7] = [
    "Generate",
    "CountTokens",
    "ListModels",
    "CreateConversation",
    "GetConversation",
    "ListConversations",
    "DeleteConversation",
];

/// Shorter streams have no rate that tells anything.
const LEAST_RATED: Duration = Duration::from_millis(100);

impl Metrics {
    /// Records that a stream of this model begins.
    pub(crate) fn stream_begun(&self, model: &str) {
        self.0.streams_running.inc();
        self.0.model_streams_running.of([owned(model)]).inc();
    }

    /// Records that a stream has ended for its caller.
    pub(crate) fn ended(&self) {
        self.0.streams_running.dec();
    }

    /// Records that a stream of this model, or its drain, is over.
    pub(crate) fn stream_over(&self, model: &str) {
        self.0.model_streams_running.of([owned(model)]).dec();
    }

    /// Records that a stream has ended for its caller and its call is being drained.
    pub(crate) fn drain_begun(&self) {
        self.0.streams_running.dec();
        self.0.drains.inc();
    }

    pub(crate) fn drain_ended(&self) {
        self.0.drains.dec();
    }

    pub(crate) fn first_content(&self, model: &str, after: Duration) {
        self.0.first_content.of([owned(model)]).observe(after.as_secs_f64());
    }

    /// Records the time of the server itself, from the headers of a call to its first attempt.
    pub(crate) fn overhead(&self, time: Duration) {
        self.0.overhead.observe(time.as_secs_f64());
    }

    pub(crate) fn queued(&self) {
        self.0.queue.inc();
    }

    pub(crate) fn dequeued(&self, outcome: &'static str, waited: Duration) {
        self.0.queue.dec();
        self.0.queue_wait.of([outcome.into()]).observe(waited.as_secs_f64());
    }

    /// Counts a call at its end.
    pub(crate) fn call_ended(&self, call: &CallSummary<'_>) {
        let method = METHODS.into_iter().find(|known| *known == call.method).unwrap_or("other");
        self.0.calls.of([method.into(), call.outcome.name().into()]).inc();
        let (tenant, model) = (|| owned(call.tenant()), || owned(call.model_label));
        match call.outcome {
            Outcome::Answered | Outcome::Left => {}
            Outcome::Refused(error) => self.refused(call.model_label, error.reason()),
            Outcome::Finished => {
                self.0.finished.of([tenant(), model()]).inc();
                self.output_rate(call);
            }
            Outcome::Failed(error) => {
                let (reason, phase) = (error.reason().name().into(), error.phase().name().into());
                self.0.failed.of([tenant(), model(), reason, phase]).inc();
            }
            Outcome::Abandoned { mode, .. } => {
                // Usage is never estimated.
                let usage = if call.used.is_some() { "provider" } else { "none" };
                self.0.abandoned.of([tenant(), model(), mode.into(), usage.into()]).inc();
            }
        }
        if matches!(call.outcome, Outcome::Finished | Outcome::Failed(_) | Outcome::Abandoned { .. }) {
            self.0.duration.of([model(), call.outcome.name().into()]).observe(call.duration.as_secs_f64());
        }
        if let Some(pace) = call.pace {
            self.0.gaps.of([model()]).add(pace);
            if pace.stalls() > 0 {
                self.0.stalls.of([model()]).inc_by(pace.stalls());
            }
        }
        self.tokens(call);
    }

    fn output_rate(&self, call: &CallSummary<'_>) {
        let answering = call.first_content.and_then(|first| call.duration.checked_sub(first));
        if let (Some(used), Some(time)) = (call.used, answering.filter(|time| *time >= LEAST_RATED)) {
            self.0.output_rate.of([owned(call.model_label)]).observe(f64::from(used.output) / time.as_secs_f64());
        }
    }

    fn tokens(&self, call: &CallSummary<'_>) {
        let Some(used) = call.used else { return };
        let is_abandoned = matches!(call.outcome, Outcome::Abandoned { .. });
        for (kind, tokens) in kinds(used).into_iter().filter(|(_, tokens)| *tokens > 0) {
            let labels = || -> [Value; 3] { [owned(call.tenant()), owned(call.model_label), kind.into()] };
            self.0.tokens.of(labels()).inc_by(tokens.into());
            if is_abandoned {
                self.0.abandoned_tokens.of(labels()).inc_by(tokens.into());
            }
        }
    }

    pub(crate) fn refused(&self, model: &str, reason: Reason) {
        self.0.refused.of([owned(model), reason.name().into()]).inc();
    }
}

/// The tokens by kind. Each is in one kind.
fn kinds(used: Used) -> [(&'static str, u32); 4] {
    let Used { input, cache_read, cache_write, output } = used;
    let uncached = input.saturating_sub(cache_read).saturating_sub(cache_write);
    [("input", uncached), ("output", output), ("cache_read", cache_read), ("cache_write", cache_write)]
}
