//! The books of one stream: whatever becomes of it is logged, counted and settled once.

use std::fmt::Display;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    admission::Reservation,
    error::{CallContext, Error, Phase},
    event::Used,
    metrics::Metrics,
};

/// Of a stream that has begun and not ended.
#[derive(Debug)]
pub(crate) struct UsageAccounting {
    generation_id: String,
    began: Instant,
    reservation: Reservation,
    metrics: Metrics,
}

impl UsageAccounting {
    pub(crate) fn open(generation_id: String, reservation: Reservation, metrics: Metrics) -> Self {
        metrics.begun();
        Self { generation_id, began: Instant::now(), reservation, metrics }
    }

    /// The first content is there.
    pub(crate) fn answered(&self) {
        self.metrics.answered(self.began.elapsed());
    }

    /// It came to its end.
    pub(crate) fn finished(self, call: &CallContext, used: Option<Used>) {
        self.settle(used);
        self.metrics.finished();
        let (generation_id, elapsed_ms) = (&self.generation_id, self.elapsed_ms());
        let CallContext { model_id, region, request_id, .. } = call;
        info!(%generation_id, %model_id, %region, %request_id, elapsed_ms, "finished");
    }

    /// It failed.
    pub(crate) fn failed(self, error: &Error, used: Option<Used>) {
        match error.phase() {
            // Nothing was generated, or nothing that anybody knows of.
            Phase::BeforeContent => self.settle(Some(used.unwrap_or_default())),
            Phase::AfterContent => self.settle(used),
        }
        self.metrics.failed(error.reason(), error.phase().name());
        let (generation_id, elapsed_ms, call) = (&self.generation_id, self.elapsed_ms(), error.call());
        let CallContext { model_id, region, request_id, .. } = &call;
        warn!(%generation_id, %model_id, %region, %request_id, elapsed_ms, error = %error.for_log(), "failed");
    }

    /// Its caller left, and the call to Bedrock was closed.
    pub(crate) fn cancelled(self, call: Option<&CallContext>, used: Option<Used>) {
        self.settle(used);
        self.metrics.cancelled(source(used));
        self.log_abandoned(call, used, "the call to Bedrock was closed");
    }

    /// Its caller left, and the call to Bedrock is read on.
    pub(crate) fn draining(&self) {
        self.metrics.drain_begun();
    }

    /// The reading on has ended.
    pub(crate) fn drained(self, call: Option<&CallContext>, used: Option<Used>, how: impl Display) {
        self.settle(used);
        self.metrics.drain_ended(source(used));
        self.log_abandoned(call, used, how);
    }

    fn log_abandoned(&self, call: Option<&CallContext>, used: Option<Used>, how: impl Display) {
        let (generation_id, elapsed_ms) = (&self.generation_id, self.elapsed_ms());
        let unknown = CallContext::default();
        let CallContext { model_id, region, request_id, .. } = call.unwrap_or(&unknown);
        let (usage, tokens) = (source(used), used.map(Used::total));
        info!(%generation_id, %model_id, %region, %request_id, elapsed_ms, usage, tokens, "abandoned by the caller: {how}");
    }

    fn settle(&self, used: Option<Used>) {
        let Some(used) = used else { return };
        self.reservation.settle(used.total());
        self.metrics.used(used.input, used.output);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Where a figure of usage comes from. It is Bedrock's own or there is none; nothing is estimated.
fn source(used: Option<Used>) -> &'static str {
    if used.is_some() { "provider" } else { "none" }
}
