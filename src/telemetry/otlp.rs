//! Sends traces and metrics to an OpenTelemetry collector by OTLP over gRPC.
//!
//! A collector that is down, slow or hangs never delays a call: ended spans wait in a queue of bounded length for a thread of their own, and
//! what does not fit is dropped and counted. Metrics are sums and histograms in memory, which another thread sends at an interval.
//!
//! - [`settings`] where they are sent
//! - `channel` the connection, and `headers` what is sent with every export
//! - `queue` the bound of spans that wait
//! - `export` bounds one export in time, and counts what is lost
//! - [`losses`] what was lost

mod channel;
mod export;
mod headers;
pub mod losses;
mod queue;
pub mod settings;

use std::{error::Error as _, fmt, time::Duration};

use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider},
    trace::TracerProvider,
};
use opentelemetry_otlp::{MetricExporter, RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tracing::{info, warn};

use self::{
    export::{BoundedExporter, Bounds},
    headers::OwnHeaders,
    losses::Losses,
    queue::{Backlog, BoundedProcessor},
    settings::OtlpSettings,
};

/// The time in which the last spans and metrics can be sent at the end of the process.
const FLUSH: Duration = Duration::from_secs(3);

/// The time in which the threads end after that. Their exports are cancelled.
const CANCEL: Duration = Duration::from_millis(500);

/// The time in which [`check`] must be connected.
const CHECK: Duration = Duration::from_secs(5);

/// The exporter of a server.
pub struct Otlp {
    /// Ends exports that are running, if it is dropped. It is dropped first, because the others wait for their threads.
    cancel: DropGuard,
    tracers: Option<SdkTracerProvider>,
    meters: Option<SdkMeterProvider>,
    losses: Losses,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tracers, meters, .. } = self;
        f.debug_struct("Otlp")
            .field("traces", &tracers.is_some())
            .field("metrics", &meters.is_some())
            .finish_non_exhaustive()
    }
}

impl Otlp {
    /// Starts the threads that send. Nothing is connected before there is something to send. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What of the settings cannot be used.
    pub fn start(settings: &OtlpSettings, losses: Losses) -> Result<Self, String> {
        let channel = channel::channel(settings)?;
        let cancelled = CancellationToken::new();
        let bounds = Bounds::new(settings.timeout, cancelled.clone(), losses.clone());
        let resource = resource(settings);
        let tracers =
            if settings.traces { Some(tracers(settings, channel.clone(), &bounds, resource.clone())?) } else { None };
        let meters = if settings.metrics { Some(meters(settings, channel, bounds, resource)?) } else { None };
        let OtlpSettings { endpoint, traces, metrics, .. } = settings;
        info!(%endpoint, traces, metrics, "traces and metrics are sent by OTLP");
        Ok(Self { cancel: cancelled.drop_guard(), tracers, meters, losses })
    }

    /// The tracer, if traces are sent.
    pub fn tracer(&self) -> Option<SdkTracer> {
        Some(self.tracers.as_ref()?.tracer_with_scope(scope()))
    }

    /// The meter, if metrics are sent.
    pub fn meter(&self) -> Option<Meter> {
        Some(self.meters.as_ref()?.meter_with_scope(scope()))
    }

    /// Sends what waits, within three seconds, and ends the threads.
    pub async fn shut_down(self) {
        let Self { cancel, tracers, meters, losses } = self;
        let cancelled = cancel.disarm();
        // Both wait for a thread.
        let traces = spawn_blocking(move || tracers.map(|tracers| tracers.shutdown_with_timeout(FLUSH + CANCEL)));
        let metrics = spawn_blocking(move || meters.map(|meters| meters.shutdown()));
        let mut ended = std::pin::pin!(async { tokio::join!(traces, metrics) });
        let flushed = tokio::select! {
            _ = &mut ended => true,
            () = sleep(FLUSH) => false,
        };
        if !flushed {
            cancelled.cancel();
            // A thread that has not ended by now ends with the process.
            let _ = timeout(CANCEL, ended).await;
            warn!("the collector did not take the last traces and metrics within {FLUSH:?}");
        }
        losses.report_all();
    }
}

/// Connects to the collector and sends nothing.
///
/// # Errors
/// Why it cannot be reached.
pub async fn check(settings: &OtlpSettings) -> Result<(), String> {
    let reached = timeout(CHECK, channel::endpoint(settings)?.connect()).await;
    let problem = match reached {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        Err(_) => format!("it did not answer within {CHECK:?}"),
    };
    let endpoint = &settings.endpoint;
    Err(format!(
        "traces and metrics would be lost: the collector at {endpoint} cannot be reached ({problem}). Check --otlp-endpoint"
    ))
}

/// Who describes the calls: this program.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("outcrop").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// The service, with what `OTEL_RESOURCE_ATTRIBUTES` says of it.
fn resource(settings: &OtlpSettings) -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_attribute(version).with_service_name(settings.service_name.clone()).build()
}

fn tracers(
    settings: &OtlpSettings,
    channel: Channel,
    bounds: &Bounds,
    resource: Resource,
) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_interceptor(OwnHeaders::of(settings))
        .with_timeout(settings.timeout)
        .with_retry_policy(RetryPolicy::default())
        .build()
        .map_err(|error| format!("the exporter of traces cannot be used: {error}"))?;
    let backlog = Backlog::default();
    let exporter = BoundedExporter::of_spans(exporter, bounds.clone(), backlog.clone());
    let config = BatchConfigBuilder::default().with_max_queue_size(queue::MAX_SPANS).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let mut provider = SdkTracerProvider::builder()
        .with_span_processor(BoundedProcessor::new(batches, backlog, bounds.losses().clone()))
        .with_resource(resource);
    if let Some(ratio) = settings.sample_ratio {
        provider = provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))));
    }
    Ok(provider.build())
}

fn meters(
    settings: &OtlpSettings,
    channel: Channel,
    bounds: Bounds,
    resource: Resource,
) -> Result<SdkMeterProvider, String> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_interceptor(OwnHeaders::of(settings))
        .with_timeout(settings.timeout)
        .with_retry_policy(RetryPolicy::default())
        .build()
        .map_err(|error| format!("the exporter of metrics cannot be used: {error}"))?;
    let reader = PeriodicReader::builder(BoundedExporter::of_metrics(exporter, bounds)).build();
    Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build())
}
