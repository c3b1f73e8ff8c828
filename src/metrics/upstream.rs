//! What is counted of Bedrock and of the store of conversations.

use std::time::Duration;

use super::{Metrics, registering::owned};
use crate::error::Reason;

/// The states of a circuit breaker.
const STATES: [&str; 3] = ["closed", "open", "half_open"];

impl Metrics {
    /// Records the outcome of an attempt for this model in this region.
    pub(crate) fn attempted(&self, model: &str, region: &str, failure: Option<Reason>) {
        let outcome = failure.map_or("ANSWERED", Reason::name);
        self.0.attempts.of([owned(model), owned(region), outcome.into()]).inc();
    }

    /// Records the time of an attempt to its first content.
    pub(crate) fn attempt_answered(&self, model: &str, region: &str, after: Duration) {
        self.0.attempt_first_content.of([owned(model), owned(region)]).observe(after.as_secs_f64());
    }

    /// Records the time to make a connection to Bedrock, or until it was given up.
    pub(crate) fn connected(&self, outcome: &'static str, after: Duration) {
        self.0.connect.of([outcome.into()]).observe(after.as_secs_f64());
    }

    /// Records a further attempt of a call: `repeat` or `failover`.
    pub(crate) fn retried(&self, kind: &'static str) {
        self.0.retries.of([kind.into()]).inc();
    }

    pub(crate) fn retry_budget_exhausted(&self) {
        self.0.budget_exhausted.inc();
    }

    /// Records the state of the circuit breaker of a target.
    pub(crate) fn breaker_is(&self, target: &str, state: &'static str) {
        for known in STATES {
            self.0.breaker_state.of([owned(target), known.into()]).set(i64::from(known == state));
        }
    }

    pub(crate) fn breaker_opened(&self, target: &str) {
        self.0.breaker_ejections.of([owned(target)]).inc();
    }

    /// Records a request to the store of conversations, and its error if it failed.
    pub(crate) fn stored(
        &self,
        engine: &'static str,
        operation: &'static str,
        time: Duration,
        error: Option<&'static str>,
    ) {
        self.0.store_request.of([engine.into(), operation.into()]).observe(time.as_secs_f64());
        if let Some(error) = error {
            self.0.store_errors.of([engine.into(), operation.into(), error.into()]).inc();
        }
    }
}
