//! All metrics, each made from its row of the table.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    gaps::Gaps,
    process::Process,
    quotas::Quotas,
    registering::{Labelled, Registering},
    table,
};

/// The upper ends of the buckets for times of calls, in seconds. Models think for minutes.
const CALL: [f64; 14] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The same for times of the server and its store.
const SHORT: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The same for tokens a second.
const RATE: [f64; 13] = [1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0];

pub(super) struct All {
    // Calls.
    pub(super) calls: Labelled<Counter, 2>,
    pub(super) streams_running: Gauge,
    pub(super) model_streams_running: Labelled<Gauge, 1>,
    pub(super) finished: Labelled<Counter, 2>,
    pub(super) failed: Labelled<Counter, 4>,
    pub(super) abandoned: Labelled<Counter, 4>,
    pub(super) refused: Labelled<Counter, 2>,
    pub(super) drains: Gauge,
    pub(super) first_content: Labelled<Histogram, 1>,
    pub(super) duration: Labelled<Histogram, 2>,
    pub(super) output_rate: Labelled<Histogram, 1>,
    pub(super) gaps: Labelled<Gaps, 1>,
    pub(super) stalls: Labelled<Counter, 1>,
    pub(super) tokens: Labelled<Counter, 3>,
    pub(super) abandoned_tokens: Labelled<Counter, 3>,
    // Capacity.
    pub(super) streams_limit: Labelled<Gauge, 1>,
    pub(super) queue: Gauge,
    pub(super) queue_wait: Labelled<Histogram, 1>,
    pub(super) request_memory: Gauge,
    pub(super) overhead: Histogram,
    // Bedrock.
    pub(super) attempts: Labelled<Counter, 3>,
    pub(super) attempt_first_content: Labelled<Histogram, 2>,
    pub(super) connect: Labelled<Histogram, 1>,
    pub(super) retries: Labelled<Counter, 1>,
    pub(super) budget_exhausted: Counter,
    pub(super) breaker_state: Labelled<Gauge, 2>,
    pub(super) breaker_ejections: Labelled<Counter, 1>,
    // Conversations.
    pub(super) store_request: Labelled<Histogram, 2>,
    pub(super) store_errors: Labelled<Counter, 3>,
    // Connections.
    pub(super) connections: Gauge,
    pub(super) connections_refused: Labelled<Counter, 1>,
    pub(super) tls_handshakes: Labelled<Counter, 1>,
    pub(super) certificate_expiry: Gauge,
    // The process.
    pub(super) generation: Gauge,
    pub(super) failed_reloads: Counter,
    pub(super) audit_lines_lost: Counter,
    pub(super) audit_writes_failed: Counter,
    pub(super) spans_dropped: Labelled<Counter, 1>,
    pub(super) exports_failed: Labelled<Counter, 1>,
    pub(super) quotas: Quotas,
    pub(super) registry: Registry,
}

impl Default for All {
    fn default() -> Self {
        let mut new = Registering::default();
        let (call, short, rate) = (|| Histogram::new(CALL), || Histogram::new(SHORT), || Histogram::new(RATE));
        let features = if cfg!(feature = "emulator") { "emulator" } else { "" };
        new.gauges(table::BUILD_INFO).of([env!("CARGO_PKG_VERSION").into(), features.into()]).set(1);
        let quotas = Quotas::default();
        let all = Self {
            calls: new.counters(table::CALLS),
            streams_running: new.gauge(table::STREAMS_RUNNING),
            model_streams_running: new.gauges(table::MODEL_STREAMS_RUNNING),
            finished: new.counters(table::STREAMS_FINISHED),
            failed: new.counters(table::STREAMS_FAILED),
            abandoned: new.counters(table::STREAMS_ABANDONED),
            refused: new.counters(table::CALLS_REFUSED),
            drains: new.gauge(table::DRAINS_RUNNING),
            first_content: new.histograms(table::FIRST_CONTENT, call),
            duration: new.histograms(table::STREAM_DURATION, call),
            output_rate: new.histograms(table::OUTPUT_RATE, rate),
            gaps: new.gaps(table::CHUNK_GAP),
            stalls: new.counters(table::STALLS),
            tokens: new.counters(table::TOKENS),
            abandoned_tokens: new.counters(table::ABANDONED_TOKENS),
            streams_limit: new.gauges(table::STREAMS_LIMIT),
            queue: new.gauge(table::QUEUE_CALLS),
            queue_wait: new.histograms(table::QUEUE_WAIT, call),
            request_memory: new.gauge(table::REQUEST_MEMORY),
            overhead: new.histogram(table::OVERHEAD, short),
            attempts: new.counters(table::ATTEMPTS),
            attempt_first_content: new.histograms(table::ATTEMPT_FIRST_CONTENT, call),
            connect: new.histograms(table::UPSTREAM_CONNECT, short),
            retries: new.counters(table::RETRIES),
            budget_exhausted: new.counter(table::RETRY_BUDGET_EXHAUSTED),
            breaker_state: new.gauges(table::BREAKER_STATE),
            breaker_ejections: new.counters(table::BREAKER_EJECTIONS),
            store_request: new.histograms(table::STORE_REQUEST, short),
            store_errors: new.counters(table::STORE_ERRORS),
            connections: new.gauge(table::CONNECTIONS_OPEN),
            connections_refused: new.counters(table::CONNECTIONS_REFUSED),
            tls_handshakes: new.counters(table::TLS_HANDSHAKES),
            certificate_expiry: new.gauge(table::CERTIFICATE_EXPIRY),
            generation: new.gauge(table::CONFIG_GENERATION),
            failed_reloads: new.counter(table::CONFIG_RELOADS_FAILED),
            audit_lines_lost: new.counter(table::AUDIT_LINES_LOST),
            audit_writes_failed: new.counter(table::AUDIT_WRITES_FAILED),
            spans_dropped: new.counters(table::SPANS_DROPPED),
            exports_failed: new.counters(table::EXPORTS_FAILED),
            registry: {
                new.0.register_collector(Box::new(quotas.clone()));
                new.0.register_collector(Box::new(Process));
                new.0
            },
            quotas,
        };
        all.generation.set(1);
        all
    }
}
