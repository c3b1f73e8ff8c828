//! Attempts at Bedrock until one brings content: the only place where something is tried again. After the first content nothing is.
//!
//! - [`attempts`] which attempt is next, and when: retries, backoff and the retry budget
//! - [`attempt_log`] the attempts that a call has made
//! - [`circuit_breaker`] keeps targets that fail out of the routes for a while
//! - [`routes`] where a model may be answered

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

/// What attempts are made with.
#[derive(Debug)]
pub(crate) struct Failover {
    bedrock: Bedrock,
    attempts: AttemptPolicy,
    metrics: Metrics,
    /// The server's own timeouts.
    default: Timeouts,
}

impl Failover {
    /// At most this many attempts for a call. `default` are the server's own timeouts.
    pub(crate) fn new(bedrock: Bedrock, attempts: u32, default: Timeouts, metrics: Metrics) -> Self {
        let attempts = AttemptPolicy::new(attempts, bedrock.home());
        Self { bedrock, attempts, metrics, default }
    }

    /// An answer that has brought its first content.
    pub(crate) async fn generate(
        self: Arc<Self>,
        call: Checked<GenerateRequest>,
        timeouts: Timeouts,
        generation_id: String,
        log: AttemptLog,
    ) -> Result<ResponseReader, Error> {
        let attempt = |target| self.open(target, &call.request, timeouts, (&generation_id, &log));
        self.run_attempts(&call.route, &log, timeouts, attempt).await
    }

    /// The count of a request's tokens.
    pub(crate) async fn count_tokens(
        &self,
        call: Checked<CountTokensRequest>,
        timeouts: Timeouts,
    ) -> Result<CountTokensResponse, Error> {
        let attempt = |target: Target| {
            let request = call.request.at(&target);
            async move { self.bedrock.count_tokens(&target, request, timeouts.connect).await }
        };
        self.run_attempts(&call.route, &AttemptLog::default(), timeouts, attempt).await
    }

    /// Makes attempts until one succeeds or there is no other.
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
            // Boxed: the SDK's futures are large.
            let result = within(timeouts.first_content, Box::pin(attempt(plan.target().clone()))).await;
            self.metrics.attempted(log, result.as_ref().err().map(Error::reason));
            match result {
                Ok(answer) => {
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
        (generation_id, log): (&str, &AttemptLog),
    ) -> Result<ResponseReader, Error> {
        let upstream = self.bedrock.open(&target, request.at(&target), timeouts.connect).await?;
        log.opened(&upstream.call.request_id);
        let reading = ResponseReader::new(upstream, generation_id, log.attempts(), timeouts.idle);
        let mut reading = reading.with_json_form(request.get().json_form());
        reading.first_content().await?;
        Ok(reading)
    }
}

/// The result of an attempt, or the error that it took too long.
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
