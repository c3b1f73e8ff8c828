//! The usage accounting of a stream. However the stream ends, its call is recorded once, and its reservation is settled once.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    admission::Reservation,
    error::{Error, Reason},
    metrics::Metrics,
    outcome::{Answer, Outcome, pace::Pace},
    telemetry::{call::CallRecord, observer::ChunkMeter},
};

/// The accounting of a running stream.
#[derive(Debug)]
pub(crate) struct UsageAccounting {
    record: Arc<CallRecord>,
    reservation: Reservation,
    metrics: Metrics,
    pace: Pace,
    /// Measures chunks for a collector.
    chunk_meter: Option<ChunkMeter>,
}

impl UsageAccounting {
    /// Opens the accounting of a call that has become a stream.
    pub(crate) fn open(record: Arc<CallRecord>, reservation: Reservation, metrics: Metrics) -> Self {
        record.stream_begun();
        Self { record, reservation, metrics, pace: Pace::default(), chunk_meter: None }
    }

    /// Records that the first content has arrived.
    pub(crate) fn answered(&mut self) {
        self.chunk_meter = self.record.answered();
    }

    /// Records chunks after the first content that arrived together.
    pub(crate) fn chunks(&mut self, count: u32, now: Instant) {
        if let Some(meter) = &mut self.chunk_meter {
            meter.chunks(count, now);
        }
    }

    /// Records that the stream waits for a chunk of Bedrock.
    pub(crate) fn waits(&mut self, now: Instant) {
        self.pace.waits(now);
    }

    /// Records chunks of Bedrock that arrived together.
    pub(crate) fn arrived(&mut self, count: u32, now: Instant) {
        self.pace.chunks(count, now);
    }

    /// Records a stream that ended with OK.
    pub(crate) fn finished(self, answer: &Answer<'_>) {
        self.settle(answer);
        self.metrics.ended();
        self.end(Outcome::Finished, answer);
    }

    /// Records a stream that failed.
    pub(crate) fn failed(self, error: &Error, answer: &Answer<'_>) {
        let is_served = self.record.has_attempted() && may_have_used_input(error);
        match answer.used {
            Some(_) => self.settle(answer),
            None if error.is_generated() => self.settle(answer),
            // Bedrock had the request, and nothing is known to be generated.
            None if is_served => self.reservation.settle_input(),
            // Bedrock did not serve the request.
            None => self.reservation.give_back(),
        }
        self.metrics.ended();
        self.end(Outcome::Failed(error), answer);
    }

    /// Records an abandoned stream whose call to Bedrock was closed. Without usage its reservation stands.
    pub(crate) fn cancelled(self, answer: &Answer<'_>) {
        self.settle(answer);
        self.metrics.ended();
        let result = "the call to Bedrock was closed";
        self.end(Outcome::Abandoned { mode: "cancel", result }, answer);
    }

    /// Records that the drain of an abandoned stream begins.
    pub(crate) fn draining(&mut self) {
        self.pace.ended(Instant::now());
        self.metrics.drain_begun();
    }

    /// Records that the drain of an abandoned stream has ended.
    pub(crate) fn drained(self, answer: &Answer<'_>, result: &str) {
        self.settle(answer);
        self.metrics.drain_ended();
        self.end(Outcome::Abandoned { mode: "drain", result }, answer);
    }

    fn end(mut self, outcome: Outcome<'_>, answer: &Answer<'_>) {
        self.pace.ended(Instant::now());
        self.record.end(outcome, &Answer { pace: Some(&self.pace), ..*answer });
    }

    fn settle(&self, answer: &Answer<'_>) {
        match answer.used {
            Some(used) => self.reservation.settle(used, &self.record.model_id()),
            // Its caller left while it waited for quota.
            None if !self.record.has_attempted() => self.reservation.give_back(),
            None => {}
        }
    }
}

/// Whether Bedrock may have processed the input in any attempt of the call.
fn may_have_used_input(error: &Error) -> bool {
    let attempts = error.call().attempts;
    let mut reasons = attempts.iter().filter_map(|attempt| Reason::by_name(&attempt.reason)).chain([error.reason()]);
    reasons.any(Reason::may_have_used_input)
}
