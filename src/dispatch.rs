//! A checked call -> attempts at Bedrock until one succeeds: the only place where something is tried again.
//!
//! Comes after [`crate::limits`]. [`crate::attempts`] says where and when an attempt is made, [`crate::bedrock`] makes it, and what has brought
//! its first content is a [`Reading`], which nothing replaces any more.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    attempts::{Attempts, Journal, Target},
    bedrock::Bedrock,
    clocks::Clocks,
    error::{Error, Reason},
    metrics::Metrics,
    proto::{CountTokensRequest, CountTokensResponse, GenerateRequest},
    reading::Reading,
    request::{Checked, Valid},
};

/// What attempts are made with.
#[derive(Debug)]
pub(crate) struct Dispatch {
    bedrock: Bedrock,
    attempts: Attempts,
    metrics: Metrics,
}

impl Dispatch {
    /// At most this many attempts for a call.
    pub(crate) fn new(bedrock: Bedrock, attempts: u32, metrics: Metrics) -> Self {
        let attempts = Attempts::new(attempts, bedrock.home());
        Self { bedrock, attempts, metrics }
    }

    /// An answer that has brought its first content.
    pub(crate) async fn generate(
        self: Arc<Self>,
        call: Checked<GenerateRequest>,
        clocks: Clocks,
        generation_id: String,
        journal: Journal,
    ) -> Result<Reading, Error> {
        let attempt = |target| self.open(target, &call.request, clocks, (&generation_id, &journal));
        self.try_along(&call.route, &journal, clocks.first_content, attempt).await
    }

    /// The count of a request's tokens.
    pub(crate) async fn count_tokens(
        &self,
        call: Checked<CountTokensRequest>,
        clocks: Clocks,
    ) -> Result<CountTokensResponse, Error> {
        let attempt = |target: Target| {
            let request = call.request.at(&target);
            async move { self.bedrock.count_tokens(&target, request, clocks.connect).await }
        };
        self.try_along(&call.route, &Journal::default(), clocks.first_content, attempt).await
    }

    /// Makes attempts, each of which may take so long, until one succeeds or there is no other.
    async fn try_along<T, F: Future<Output = Result<T, Error>>>(
        &self,
        route: &[Target],
        journal: &Journal,
        limit: Duration,
        attempt: impl Fn(Target) -> F,
    ) -> Result<T, Error> {
        let mut plan = self.attempts.plan(route, journal);
        loop {
            // Boxed: the SDK's futures are large.
            let result = within(limit, Box::pin(attempt(plan.target().clone()))).await;
            self.metrics.attempted(journal, result.as_ref().err().map(Error::reason));
            match result {
                Ok(answer) => {
                    plan.succeeded();
                    return Ok(answer);
                }
                Err(error) => plan.failed(error).await.map_err(|error| error.after(journal.call()))?,
            }
        }
    }

    async fn open(
        &self,
        target: Target,
        request: &Valid<GenerateRequest>,
        clocks: Clocks,
        (generation_id, journal): (&str, &Journal),
    ) -> Result<Reading, Error> {
        let upstream = self.bedrock.open(&target, request.at(&target), clocks.connect).await?;
        journal.opened(&upstream.call.request_id);
        let mut reading = Reading::new(upstream, generation_id, journal.attempts(), clocks.idle);
        reading.first_content().await?;
        Ok(reading)
    }
}

/// What comes of an attempt, unless it takes too long.
async fn within<T>(limit: Duration, attempt: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, attempt).await.unwrap_or_else(|_| {
        let message = format!(
            "Bedrock sent no content for {limit:?}. Try again, or allow more time with time_limits.first_content"
        );
        Err(Error::new(Reason::FirstContentTimeout, message))
    })
}
