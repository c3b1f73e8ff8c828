//! The metrics of the server. docs/metrics.md lists them; a test compares the two.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, response::IntoResponse, routing::get};
use http::{StatusCode, header::CONTENT_TYPE};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{error::Reason, failover::attempt_log::AttemptLog};

/// The content type of the text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The upper ends of the buckets for the time to the first content, in seconds.
const FIRST_CONTENT: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// All metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    generation: Gauge,
    failed_reloads: Counter,
    connections: Gauge,
    connections_refused: Family<Limit, Counter>,
    tls_handshakes: Family<Handshake, Counter>,
    certificate_expiry: Gauge,
    running: Gauge,
    drains: Gauge,
    request_memory: Gauge,
    finished: Family<OfTenant, Counter>,
    failed: Family<Failure, Counter>,
    abandoned: Family<Abandonment, Counter>,
    refused: Family<Refusal, Counter>,
    attempts: Family<Attempted, Counter>,
    tokens: Family<Direction, Counter>,
    first_content: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handshake {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failure {
    tenant: String,
    reason: &'static str,
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Abandonment {
    tenant: String,
    mode: &'static str,
    usage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempted {
    region: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Direction {
    tenant: String,
    direction: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("outcrop");
        let generation = Gauge::default();
        generation.set(1);
        let help = "The number of times that the configuration was applied, including the start";
        registry.register("config_generation", help, generation.clone());
        let failed_reloads = Counter::default();
        let help = "Changes of the configuration file that could not be used";
        registry.register("config_reloads_failed", help, failed_reloads.clone());
        let connections = Gauge::default();
        registry.register("connections_open", "Open connections of clients", connections.clone());
        let connections_refused = Family::default();
        let help = "Connections that were closed at once because of a limit";
        registry.register("connections_refused", help, connections_refused.clone());
        let tls_handshakes = Family::default();
        registry.register("tls_handshakes", "TLS handshakes by outcome", tls_handshakes.clone());
        let certificate_expiry = Gauge::default();
        let help = "When the certificate of the server expires, in seconds since 1970. 0 without TLS";
        registry.register_with_unit("tls_certificate_expiry", help, Unit::Seconds, certificate_expiry.clone());
        let running = Gauge::default();
        registry.register("streams_running", "Running streams", running.clone());
        let drains = Gauge::default();
        registry.register("drains_running", "Abandoned calls that are being drained", drains.clone());
        let request_memory = Gauge::default();
        let help = "Memory of requests until their first content";
        registry.register_with_unit("request_memory", help, Unit::Bytes, request_memory.clone());
        let finished = Family::default();
        registry.register("streams_finished", "Streams that ended with OK", finished.clone());
        let failed = Family::default();
        registry.register("streams_failed", "Streams that ended with a status other than OK", failed.clone());
        let abandoned = Family::default();
        let help = "Abandoned streams by mode and source of their usage";
        registry.register("streams_abandoned", help, abandoned.clone());
        let refused = Family::default();
        registry.register(
            "calls_refused",
            "Calls that were refused before a request was sent to Bedrock",
            refused.clone(),
        );
        let attempts = Family::default();
        registry.register("attempts", "Attempts at Bedrock by region and outcome", attempts.clone());
        let tokens = Family::default();
        registry.register("tokens", "Tokens used, as reported by Bedrock", tokens.clone());
        let first_content = Histogram::new(FIRST_CONTENT);
        let help = "Time from the call to its first content, including retries and backoff";
        registry.register_with_unit("first_content", help, Unit::Seconds, first_content.clone());
        Self(Arc::new(Inner {
            registry,
            generation,
            failed_reloads,
            connections,
            connections_refused,
            tls_handshakes,
            certificate_expiry,
            running,
            drains,
            request_memory,
            finished,
            failed,
            abandoned,
            refused,
            attempts,
            tokens,
            first_content,
        }))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// If the text cannot be formatted; writing to a string does not fail.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry).map(|()| text)
    }

    /// Records that the configuration was applied again. Returns its number.
    pub(crate) fn reloaded(&self) -> i64 {
        self.0.generation.inc() + 1
    }

    pub(crate) fn reload_failed(&self) {
        self.0.failed_reloads.inc();
    }

    pub(crate) fn connection_opened(&self) {
        self.0.connections.inc();
    }

    pub(crate) fn connection_closed(&self) {
        self.0.connections.dec();
    }

    pub(crate) fn connection_refused(&self, limit: &'static str) {
        self.0.connections_refused.get_or_create(&Limit { limit }).inc();
    }

    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        self.0.tls_handshakes.get_or_create(&Handshake { outcome }).inc();
    }

    pub(crate) fn certificate_expires(&self, at: SystemTime) {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.0.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    pub(crate) fn begun(&self) {
        self.0.running.inc();
    }

    pub(crate) fn answered(&self, after: Duration) {
        self.0.first_content.observe(after.as_secs_f64());
    }

    pub(crate) fn finished(&self, tenant: &str) {
        self.0.running.dec();
        self.0.finished.get_or_create(&OfTenant { tenant: tenant.to_owned() }).inc();
    }

    pub(crate) fn failed(&self, tenant: &str, reason: Reason, phase: &'static str) {
        self.0.running.dec();
        self.0.failed.get_or_create(&Failure { tenant: tenant.to_owned(), reason: reason.name(), phase }).inc();
    }

    /// Records that a stream has ended and its call is being drained.
    pub(crate) fn drain_begun(&self) {
        self.0.running.dec();
        self.0.drains.inc();
    }

    pub(crate) fn drain_ended(&self, tenant: &str, usage: &'static str) {
        self.0.drains.dec();
        self.0.abandoned.get_or_create(&Abandonment { tenant: tenant.to_owned(), mode: "drain", usage }).inc();
    }

    pub(crate) fn cancelled(&self, tenant: &str, usage: &'static str) {
        self.0.running.dec();
        self.0.abandoned.get_or_create(&Abandonment { tenant: tenant.to_owned(), mode: "cancel", usage }).inc();
    }

    /// How many bytes requests have taken now.
    pub(crate) fn request_memory(&self, bytes: u64) {
        self.0.request_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.0.refused.get_or_create(&Refusal { reason: reason.name() }).inc();
    }

    /// Records the outcome of the last attempt in the log.
    pub(crate) fn attempted(&self, attempts: &AttemptLog, failure: Option<Reason>) {
        let region = attempts.attempts().pop().map(|attempt| attempt.region).unwrap_or_default();
        let outcome = failure.map_or("ANSWERED", Reason::name);
        self.0.attempts.get_or_create(&Attempted { region, outcome }).inc();
    }

    pub(crate) fn used(&self, tenant: &str, input: u32, output: u32) {
        for (direction, tokens) in [("input", input), ("output", output)] {
            let of_tenant = Direction { tenant: tenant.to_owned(), direction };
            self.0.tokens.get_or_create(&of_tenant).inc_by(tokens.into());
        }
    }
}

/// `GET /metrics`.
pub(crate) fn router(metrics: Metrics) -> Router {
    let page = get(async move || match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    });
    Router::new().route("/metrics", page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_same_metrics() {
        let document = include_str!("../docs/metrics.md");
        let metrics = Metrics::default();
        // A metric with labels appears once it has a value.
        metrics.connection_refused("total");
        metrics.tls_handshake("completed");
        metrics.finished("acme");
        metrics.failed("acme", Reason::Internal, "after_content");
        metrics.cancelled("acme", "none");
        metrics.refused(Reason::LocalLimit);
        metrics.attempted(&AttemptLog::default(), None);
        metrics.used("acme", 1, 2);
        let text = metrics.text().unwrap();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        for name in &names {
            let (name, kind) = name.split_once(' ').unwrap();
            let written = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            assert!(document.contains(&format!("| `{written}` |")), "docs/metrics.md lacks {written}");
        }
        let rows = document.lines().filter(|line| line.starts_with("| `outcrop_")).count();
        assert_eq!(rows, names.len(), "docs/metrics.md has rows that the code has not");
    }
}
