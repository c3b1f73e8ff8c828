//! Makes attempts at Bedrock until one brings content. This is the only module that retries; nothing is retried after the first content.
//!
//! - [`attempts`] the target and the backoff of the next attempt, and the retry budget
//! - [`affinity`] the target that has the prompt cache of a call
//! - [`attempt_log`] the attempts of a call
//! - [`circuit_breaker`] skips targets that fail
//! - [`routes`] the targets of models and routes

mod affinity;
pub(crate) mod attempt_log;
mod attempts;
pub(crate) mod circuit_breaker;
pub mod routes;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use self::{
    affinity::Affinity, attempt_log::AttemptLog, attempts::AttemptPolicy, circuit_breaker::CircuitBreakers,
    routes::Target,
};
use crate::{
    admission::request_memory::MemoryPermit,
    bedrock::{Bedrock, Upstream},
    error::{Error, Phase, Reason},
    metrics::Metrics,
    proto::{CountTokensRequest, CountTokensResponse, GenerateRequest},
    quota::{
        billing::Billing,
        demand::Demand,
        ledger::{Ledger, reservation::Reservation},
        settings::QuotaSettings,
    },
    request::{Checked, relayed::Relayed, timeouts::Timeouts},
    response::reader::ResponseReader,
};

/// A call whose answer is generated.
pub(crate) struct Generation {
    pub(crate) checked: Checked<GenerateRequest>,
    /// Set if its body and its answer are relayed.
    pub(crate) relayed: Option<Relayed>,
    pub(crate) timeouts: Timeouts,
    /// The id of the call.
    pub(crate) id: String,
    pub(crate) log: AttemptLog,
    /// What it asks of quotas. `None`: its targets have none.
    pub(crate) demand: Option<Demand>,
    /// What it shares with other requests of its tenant.
    pub(crate) cache_key: Option<String>,
    /// The settings that are in force for it.
    pub(crate) quotas: Arc<QuotaSettings>,
    /// The memory of its request, beside which its answer takes memory if it comes at once.
    pub(crate) memory: Arc<MemoryPermit>,
}

/// Makes the attempts of calls.
#[derive(Debug)]
pub(crate) struct Failover {
    bedrock: Bedrock,
    attempts: AttemptPolicy,
    ledger: Ledger,
    affinity: Affinity,
    /// The default timeouts of the server.
    default: Timeouts,
}

impl Failover {
    /// A call makes at most `attempts` attempts. `default` are the default timeouts of the server. The breakers are measured.
    pub(crate) fn new(
        bedrock: Bedrock,
        attempts: u32,
        default: Timeouts,
        ledger: Ledger,
        breakers: CircuitBreakers,
    ) -> Self {
        let attempts = AttemptPolicy::new(attempts, bedrock.home(), ledger.clone(), breakers);
        Self { bedrock, attempts, ledger, affinity: Affinity::default(), default }
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
    pub(crate) async fn generate(self: Arc<Self>, mut call: Generation) -> Result<ResponseReader, Error> {
        let key = call.cache_key.as_deref();
        if let (Some(demand), Some(key)) = (&mut call.demand, key) {
            demand.preferred = self.affinity.target_of(key).or(demand.preferred.take());
        }
        let Generation { checked, timeouts, log, demand, .. } = &call;
        let attempt = |target, reservation| self.open(target, reservation, &call);
        let answered = self.run_attempts(&checked.route, log, *timeouts, demand.as_ref(), attempt).await?;
        if let Some(key) = key {
            self.affinity.remember(key, answered.target());
        }
        Ok(answered)
    }

    /// Whether any of these targets has a quota.
    pub(crate) fn has_quota(&self, route: &[Target]) -> bool {
        self.ledger.has_quota(route)
    }

    /// Counts the input tokens of a request.
    pub(crate) async fn count_tokens(
        &self,
        call: Checked<CountTokensRequest>,
        timeouts: Timeouts,
        log: &AttemptLog,
    ) -> Result<CountTokensResponse, Error> {
        // Bedrock counts tokens without taking any of a quota.
        let attempt = |target: Target, _| {
            let request = call.request.at(&target);
            async move { self.bedrock.count_tokens(&target, request, timeouts.connect, log).await }
        };
        self.run_attempts(&call.route, log, timeouts, None, attempt).await
    }

    /// Counts the input tokens of a body as it is.
    pub(crate) async fn count_relayed(
        &self,
        call: Checked<GenerateRequest>,
        timeouts: Timeouts,
        log: &AttemptLog,
    ) -> Result<Bytes, Error> {
        let body = Bytes::from(call.request.into_inner().native_body);
        let attempt = |target: Target, _| {
            let body = body.clone();
            async move { self.bedrock.count_relayed(&target, body, timeouts.connect, log).await }
        };
        self.run_attempts(&call.route, log, timeouts, None, attempt).await
    }

    /// Makes attempts until one succeeds or no further one is allowed.
    async fn run_attempts<T, F: Future<Output = Result<T, Error>>>(
        &self,
        route: &[Target],
        log: &AttemptLog,
        timeouts: Timeouts,
        demand: Option<&Demand>,
        attempt: impl Fn(Target, Option<Reservation>) -> F,
    ) -> Result<T, Error> {
        let short = timeouts.first_content < self.default.first_content || timeouts.connect < self.default.connect;
        let mut plan = self.attempts.plan(route, log, short, demand).await?;
        loop {
            let (target, reservation) = (plan.target().clone(), plan.take_reservation());
            // Boxed, because it is large.
            let result = within(timeouts.first_content, Box::pin(attempt(target, reservation))).await;
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
        mut reservation: Option<Reservation>,
        call: &Generation,
    ) -> Result<ResponseReader, Error> {
        let Generation { checked, relayed, timeouts, id, log, quotas, memory, .. } = call;
        let request = &checked.request;
        // From here on Bedrock may know of it.
        if let Some(reservation) = &mut reservation {
            reservation.sent();
        }
        let upstream =
            match self.bedrock.open(&target, request.at(&target), relayed.as_ref(), timeouts.connect, log).await {
                Ok(upstream) => upstream,
                Err(error) => {
                    if let Some(reservation) = reservation {
                        reservation.failed(&error, Phase::BeforeContent);
                    }
                    return Err(error);
                }
            };
        let billing = Billing { reservation, price: quotas.prices.get(&target.model_id).copied() };
        let upstream = Upstream { frames: upstream.frames.within(|| memory.another()), ..upstream };
        let reader = ResponseReader::new(upstream, id, log.clone(), timeouts.idle);
        let mut reader = reader.with_json_form(request.get().json_form()).with_billing(billing);
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
