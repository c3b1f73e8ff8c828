//! Bounds every export in time, and counts what it loses.

use std::time::Duration;

use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    losses::{Losses, Lost, Signal},
    queue::Backlog,
};

/// What bounds an export. Clones share the cancellation.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// The time of one request to the collector.
    request: Duration,
    cancelled: CancellationToken,
    losses: Losses,
    /// The threads of the exporters have no runtime of their own.
    runtime: Handle,
}

impl Bounds {
    /// Needs a Tokio runtime.
    pub(super) fn new(request: Duration, cancelled: CancellationToken, losses: Losses) -> Self {
        Self { request, cancelled, losses, runtime: Handle::current() }
    }

    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Runs an export with its retries, which share the time of two requests.
    async fn run(&self, export: impl Future<Output = OTelSdkResult> + Send) -> OTelSdkResult {
        let limit = self.request * 2;
        let limited = {
            let _in_runtime = self.runtime.enter();
            timeout(limit, export)
        };
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(OTelSdkError::AlreadyShutdown),
            result = limited => result.unwrap_or(Err(OTelSdkError::Timeout(limit))),
        }
    }
}

/// An exporter within bounds.
#[derive(Debug)]
pub(super) struct BoundedExporter<E> {
    inner: E,
    bounds: Bounds,
    backlog: Backlog,
}

impl<E: SpanExporter> BoundedExporter<E> {
    /// Sends spans, which have places in `backlog`.
    pub(super) fn of_spans(inner: E, bounds: Bounds, backlog: Backlog) -> Self {
        Self { inner, bounds, backlog }
    }
}

impl<E: PushMetricExporter> BoundedExporter<E> {
    /// Sends metrics.
    pub(super) fn of_metrics(inner: E, bounds: Bounds) -> Self {
        Self { inner, bounds, backlog: Backlog::default() }
    }
}

impl<E: SpanExporter> SpanExporter for BoundedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.bounds.run(self.inner.export(batch)).await;
        self.backlog.leave(spans);
        let losses = &self.bounds.losses;
        if result.is_err() {
            losses.spans(Lost::ExportFailed, spans as u64);
        }
        losses.exported(Signal::Traces, result.as_ref().err());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for BoundedExporter<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.bounds.run(self.inner.export(metrics)).await;
        self.bounds.losses.exported(Signal::Metrics, result.as_ref().err());
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
