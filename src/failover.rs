//! Makes attempts at Bedrock until one brings content. This is the only module that retries; nothing is retried after the first content.
//!
//! - [`attempts`] the target and the backoff of the next attempt, and the retry budget
//! - [`attempt_log`] the attempts of a call
//! - [`circuit_breaker`] skips targets that fail
//! - [`routes`] the targets of models and routes

pub(crate) mod attempt_log;
mod attempts;
mod circuit_breaker;
pub mod routes;

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use self::{attempt_log::AttemptLog, attempts::AttemptPolicy, routes::Target};
use crate::{
    bedrock::Bedrock,
    error::{Error, Reason},
    metrics::Metrics,
    proto::{CountTokensRequest, CountTokensResponse, GenerateRequest},
    request::{Checked, Valid, timeouts::Timeouts},
    response::reader::ResponseReader,
};

/// Makes the attempts of calls.
#[derive(Debug)]
pub(crate) struct Failover {
    bedrock: Bedrock,
    attempts: AttemptPolicy,
    /// The default timeouts of the server.
    default: Timeouts,
}

impl Failover {
    /// A call makes at most `attempts` attempts. `default` are the default timeouts of the server.
    pub(crate) fn new(bedrock: Bedrock, attempts: u32, default: Timeouts) -> Self {
        let attempts = AttemptPolicy::new(attempts, bedrock.home());
        Self { bedrock, attempts, default }
    }

    /// The same, which is measured.
    pub(crate) fn with_metrics(mut self, metrics: &Metrics) -> Self {
        self.bedrock.measure(metrics);
        self.attempts = self.attempts.with_metrics(metrics.clone());
        self
    }

    /// The region of a target that names none.
    pub(crate) fn home(&self) -> &str {
        self.bedrock.home()
    }

    /// Generates an answer. Returns when its first content has arrived.
    pub(crate) async fn generate(
        self: Arc<Self>,
        call: Checked<GenerateRequest>,
        timeouts: Timeouts,
        generation_id: String,
        log: AttemptLog,
    ) -> Result<ResponseReader, Error> {
        let attempt = |target| self.open(target, &call.request, timeouts, &generation_id, &log);
        self.run_attempts(&call.route, &log, timeouts, attempt).await
    }

    /// Counts the input tokens of a request.
    pub(crate) async fn count_tokens(
        &self,
        call: Checked<CountTokensRequest>,
        timeouts: Timeouts,
        log: &AttemptLog,
    ) -> Result<CountTokensResponse, Error> {
        let attempt = |target: Target| {
            let request = call.request.at(&target);
            async move { self.bedrock.count_tokens(&target, request, timeouts.connect, log).await }
        };
        self.run_attempts(&call.route, log, timeouts, attempt).await
    }

    /// Makes attempts until one succeeds or no further one is allowed.
    async fn run_attempts<T, F: Future<Output = Result<T, Error>>>(
        &self,
        route: &[Target],
        log: &AttemptLog,
        timeouts: Timeouts,
        attempt: impl Fn(Target) -> F,
    ) -> Result<T, Error> {
        let short = timeouts.first_content < self.default.first_content || timeouts.connect < self.default.connect;
        let mut plan = self.attempts.plan(route, log, short);
        loop {
            // Boxed, because the futures of the SDK are large.
            let result = within(timeouts.first_content, Box::pin(attempt(plan.target().clone()))).await;
            match result {
                Ok(answer) => {
                    log.answered();
                    plan.succeeded();
                    return Ok(answer);
                }
                Err(error) => plan.failed(error).await.map_err(|error| error.after(log.call()))?,
            }
        }
    }

    async fn open(
        &self,
        target: Target,
        request: &Valid<GenerateRequest>,
        timeouts: Timeouts,
        generation_id: &str,
        log: &AttemptLog,
    ) -> Result<ResponseReader, Error> {
        let upstream = self.bedrock.open(&target, request.at(&target), timeouts.connect, log).await?;
        log.opened(&upstream.call.request_id);
        let reader = ResponseReader::new(upstream, generation_id, log.attempts(), timeouts.idle);
        let mut reader = reader.with_json_form(request.get().json_form());
        reader.first_content().await?;
        Ok(reader)
    }
}

/// Runs an attempt with the first-content timeout.
async fn within<T>(limit: Duration, attempt: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, attempt).await.unwrap_or_else(|_| {
        let message = format!(
            "Bedrock sent no content for {limit:?}. Try again, or allow more time with time_limits.first_content"
        );
        Err(Error::new(Reason::FirstContentTimeout, message))
    })
}

#[cfg(test)]
mod tests;
