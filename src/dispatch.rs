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
        let mut plan = self.attempts.plan(&call.route, &journal);
        loop {
            let attempt = self.open(plan.target(), &call.request, clocks, (&generation_id, &journal));
            // Boxed: the SDK's futures are large.
            match within(clocks.first_content, Box::pin(attempt)).await {
                Ok(reading) => {
                    plan.succeeded();
                    self.metrics.attempted(&journal, None);
                    return Ok(reading);
                }
                Err(error) => {
                    self.metrics.attempted(&journal, Some(error.reason()));
                    plan.failed(error).await.map_err(|error| error.after(journal.call()))?;
                }
            }
        }
    }

    /// The count of a request's tokens.
    pub(crate) async fn count_tokens(
        &self,
        call: Checked<CountTokensRequest>,
        clocks: Clocks,
    ) -> Result<CountTokensResponse, Error> {
        let journal = Journal::default();
        let mut plan = self.attempts.plan(&call.route, &journal);
        loop {
            let target = plan.target();
            let attempt = self.bedrock.count_tokens(target, call.request.at(target), clocks.connect);
            match within(clocks.first_content, Box::pin(attempt)).await {
                Ok(counted) => {
                    plan.succeeded();
                    return Ok(counted);
                }
                Err(error) => plan.failed(error).await.map_err(|error| error.after(journal.call()))?,
            }
        }
    }

    async fn open(
        &self,
        target: &Target,
        request: &Valid<GenerateRequest>,
        clocks: Clocks,
        (generation_id, journal): (&str, &Journal),
    ) -> Result<Reading, Error> {
        let upstream = self.bedrock.open(target, request.at(target), clocks.connect).await?;
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
