//! The usage accounting of a call. However the call ends, it is logged and counted once, and its reservation is settled once.

use std::{fmt::Display, sync::Arc};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    admission::Reservation,
    audit::AuditedCall,
    error::{CallContext, Error, Phase, Reason},
    event::Used,
    metrics::Metrics,
};

/// The accounting of a running call.
#[derive(Debug)]
pub(crate) struct UsageAccounting {
    generation_id: String,
    audited: Arc<AuditedCall>,
    began: Instant,
    reservation: Reservation,
    metrics: Metrics,
}

impl UsageAccounting {
    pub(crate) fn open(
        generation_id: String,
        audited: Arc<AuditedCall>,
        reservation: Reservation,
        metrics: Metrics,
    ) -> Self {
        metrics.begun();
        Self { generation_id, audited, began: Instant::now(), reservation, metrics }
    }

    /// Records that the first content has arrived.
    pub(crate) fn answered(&self) {
        self.metrics.answered(self.began.elapsed());
    }

    /// Records a call that ended with OK.
    pub(crate) fn finished(self, call: &CallContext, used: Option<Used>) {
        self.settle(used);
        self.audited.ended("OK", Some(call), used);
        self.metrics.finished(self.audited.identity().tenant());
        let (generation_id, caller, elapsed_ms) =
            (&self.generation_id, self.audited.identity().caller(), self.elapsed_ms());
        let CallContext { model_id, region, request_id, .. } = call;
        info!(%generation_id, caller, %model_id, %region, %request_id, elapsed_ms, "finished");
    }

    /// Records a call that failed.
    pub(crate) fn failed(self, error: &Error, used: Option<Used>) {
        match error.phase() {
            // Bedrock did not serve the request.
            Phase::BeforeContent if used.is_none() && !may_have_used_input(error) => {
                self.reservation.settle(0);
            }
            // Bedrock had the request, and nothing is known to be generated.
            Phase::BeforeContent if used.is_none() => self.reservation.settle_input(),
            Phase::BeforeContent | Phase::AfterContent => self.settle(used),
        }
        self.metrics.failed(self.audited.identity().tenant(), error.reason(), error.phase().name());
        let (generation_id, caller, elapsed_ms) =
            (&self.generation_id, self.audited.identity().caller(), self.elapsed_ms());
        let call = error.call();
        self.audited.ended(error.reason().name(), Some(&call), used);
        let CallContext { model_id, region, request_id, .. } = &call;
        warn!(%generation_id, caller, %model_id, %region, %request_id, elapsed_ms, error = %error.for_log(), "failed");
    }

    /// Records an abandoned call that was closed. Without usage its reservation stands.
    pub(crate) fn cancelled(self, call: Option<&CallContext>, used: Option<Used>) {
        self.settle(used);
        self.metrics.cancelled(self.audited.identity().tenant(), source(used));
        self.log_abandoned(call, used, "the call to Bedrock was closed");
    }

    /// Records that the drain of an abandoned call begins.
    pub(crate) fn draining(&self) {
        self.metrics.drain_begun();
    }

    /// Records that the drain of an abandoned call has ended.
    pub(crate) fn drained(self, call: Option<&CallContext>, used: Option<Used>, result: impl Display) {
        self.settle(used);
        self.metrics.drain_ended(self.audited.identity().tenant(), source(used));
        self.log_abandoned(call, used, result);
    }

    fn log_abandoned(&self, call: Option<&CallContext>, used: Option<Used>, result: impl Display) {
        let (generation_id, caller, elapsed_ms) =
            (&self.generation_id, self.audited.identity().caller(), self.elapsed_ms());
        self.audited.ended("ABANDONED", call, used);
        let unknown = CallContext::default();
        let CallContext { model_id, region, request_id, .. } = call.unwrap_or(&unknown);
        let (usage, tokens) = (source(used), used.map(Used::total));
        info!(%generation_id, caller, %model_id, %region, %request_id, elapsed_ms, usage, tokens, "abandoned by the caller: {result}");
    }

    fn settle(&self, used: Option<Used>) {
        let Some(used) = used else { return };
        self.reservation.settle(used.total());
        self.metrics.used(self.audited.identity().tenant(), used.input, used.output);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether Bedrock may have processed the input in any attempt of the call.
fn may_have_used_input(error: &Error) -> bool {
    let attempts = error.call().attempts;
    let mut reasons = attempts.iter().filter_map(|attempt| Reason::by_name(&attempt.reason)).chain([error.reason()]);
    reasons.any(Reason::may_have_used_input)
}

/// The source of the usage: Bedrock, or none. Usage is never estimated.
fn source(used: Option<Used>) -> &'static str {
    if used.is_some() { "provider" } else { "none" }
}
