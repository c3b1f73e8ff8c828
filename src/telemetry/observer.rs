//! What a collector is told about calls: spans and measurements, by the conventions of OpenTelemetry for RPC and for generative AI.
//!
//! [`super::call`] tells what happens to a call. Nothing here waits, and without a collector only the caller's `traceparent` is kept, which is
//! passed on to Bedrock.
//!
//! - `spans` the spans of a call
//! - `measurements` the metrics of calls
//! - [`request`] the attributes of a request
//! - `trace_context` reads and writes `traceparent` and `tracestate`
//! - `attributes` the names of the conventions

mod attributes;
mod measurements;
pub(crate) mod request;
mod spans;
mod trace_context;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request};
use opentelemetry::Context;
use tokio::time::Instant;

pub(crate) use self::measurements::ChunkMeter;
use self::{
    attributes::Status,
    measurements::{Measurements, OfModel},
    request::Asked,
    spans::{CallSpans, Tracing},
};
use super::otlp::Otlp;
use crate::{admission::client::ClientId, error::Reason, outcome::CallSummary, proto::Attempt};

/// Observes the calls of a server. Clones do the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observer {
    tracing: Option<Tracing>,
    measurements: Option<Measurements>,
}

/// Observes one call.
#[derive(Debug, Default)]
pub(crate) struct ObservedCall {
    /// The trace that Bedrock continues if this call has no spans: that of the caller, or one that is not sampled.
    continued: Context,
    /// The spans of a sampled trace.
    spans: Option<Box<CallSpans>>,
    measured: Option<Measured>,
    /// When the first attempt began.
    inferring_since: Option<Instant>,
}

/// What is measured of one call.
#[derive(Debug)]
struct Measured {
    measurements: Measurements,
    method: String,
    began: Instant,
    /// The model of the inference, if there is one.
    model: Option<Arc<OfModel>>,
}

impl Observer {
    /// Tells this exporter about calls.
    pub(crate) fn new(otlp: Option<&Otlp>) -> Self {
        let tracing = otlp.and_then(Otlp::tracer).map(Tracing::new);
        let measurements = otlp.and_then(Otlp::meter).map(|meter| Measurements::new(&meter));
        Self { tracing, measurements }
    }

    /// Begins to observe a call. `method` is its path, if the server has such a method.
    pub(crate) fn begin(
        &self,
        request: &Request<impl Sized>,
        method: Option<&str>,
        generation_id: &str,
    ) -> ObservedCall {
        let remote = trace_context::extract(request.headers());
        let begun = match &self.tracing {
            Some(tracing) => tracing.begin(request, method, generation_id, &remote),
            None => Err(remote),
        };
        let (spans, continued) = match begun {
            Ok(spans) => (Some(Box::new(spans)), Context::default()),
            Err(continued) => (None, continued),
        };
        let measured = self.measurements.as_ref().map(|measurements| Measured {
            measurements: measurements.clone(),
            method: attributes::method(method).to_owned(),
            began: Instant::now(),
            model: None,
        });
        ObservedCall { continued, spans, measured, inferring_since: None }
    }
}

impl ObservedCall {
    /// The trace of the call, if it is recorded, for the log.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.spans.as_ref().map(|spans| spans.trace_id())
    }

    /// The headers that continue the trace at Bedrock.
    pub(crate) fn upstream_headers(&self) -> HeaderMap {
        trace_context::inject(self.spans.as_ref().map_or(&self.continued, |spans| spans.innermost()))
    }

    pub(crate) fn came_from(&mut self, client: &ClientId) {
        self.with_spans(|spans| {
            if let ClientId::Address(address) = client {
                spans.came_from(&address.to_string());
            }
        });
    }

    pub(crate) fn identified(&mut self, caller: &str) {
        self.with_spans(|spans| spans.identified(caller));
    }

    /// Records a checked request to a model. `label` is the bounded name of the model.
    pub(crate) fn requested(&mut self, model: &str, label: &str, asked: Asked<'_>) {
        if let (Some(measured), Asked::Generation(_) | Asked::Relayed(_)) = (&mut self.measured, &asked) {
            measured.model = Some(measured.measurements.of_model(label));
        }
        self.with_spans(|spans| spans.requested(model, asked));
    }

    pub(crate) fn attempt_begun(&mut self, attempt: &Attempt) {
        self.inferring_since.get_or_insert_with(Instant::now);
        self.with_spans(|spans| spans.attempt_begun(attempt));
    }

    /// Records the head of Bedrock's response to the running attempt.
    pub(crate) fn responded(&mut self, http_status: u16, request_id: &str) {
        self.with_spans(|spans| spans.responded(http_status, request_id));
    }

    /// Records that the running attempt has failed.
    pub(crate) fn attempt_failed(&mut self, reason: Reason) {
        self.with_spans(|spans| spans.attempt_failed(reason));
    }

    /// Records that the first content has arrived. The chunks after it are measured without the lock of the record.
    pub(crate) fn answered(&mut self) -> Option<ChunkMeter> {
        let now = Instant::now();
        let after = now.saturating_duration_since(self.inferring_since?);
        self.with_spans(|spans| spans.answered(after));
        let model = self.measured.as_ref()?.model.as_ref()?;
        Some(model.first_chunk(after, now))
    }

    /// Ends the spans and records what is known at the end.
    pub(crate) fn end(&mut self, summary: &CallSummary<'_>) {
        let status = Status::of(&summary.outcome);
        if let Some(Measured { measurements, method, began, model, .. }) = self.measured.take() {
            measurements.call(&method, &status, began.elapsed());
            if let (Some(model), Some(since)) = (model, self.inferring_since) {
                model.ended(&status, since.elapsed(), summary.used);
            }
        }
        if let Some(spans) = self.spans.take() {
            spans.end(summary, &status);
        }
    }

    fn with_spans(&mut self, tell: impl FnOnce(&mut CallSpans)) {
        if let Some(spans) = &mut self.spans {
            tell(spans);
        }
    }
}

/// A duration in the unit of the conventions.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
