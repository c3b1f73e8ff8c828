//! The metrics of the server. docs/metrics.md lists them; a test compares the two.
//!
//! - `endpoint` serves them
//! - `labels` their labels

pub(crate) mod endpoint;
mod labels;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};

use self::labels::{
    Abandonment, Attempted, Dropped, Exported, Failure, Handshake, Limit, OfModel, Refusal, TokensUsed,
};
use crate::{
    error::Reason,
    outcome::{CallSummary, Outcome},
};

/// The upper ends of the buckets for the time to the first content, in seconds.
const FIRST_CONTENT: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// All metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    generation: Gauge,
    failed_reloads: Counter,
    connections: Gauge,
    connections_refused: Family<Limit, Counter>,
    tls_handshakes: Family<Handshake, Counter>,
    certificate_expiry: Gauge,
    running: Gauge,
    drains: Gauge,
    request_memory: Gauge,
    audit_lines_lost: Counter,
    audit_writes_failed: Counter,
    finished: Family<OfModel, Counter>,
    failed: Family<Failure, Counter>,
    abandoned: Family<Abandonment, Counter>,
    refused: Family<Refusal, Counter>,
    attempts: Family<Attempted, Counter>,
    tokens: Family<TokensUsed, Counter>,
    first_content: Histogram,
    spans_dropped: Family<Dropped, Counter>,
    exports_failed: Family<Exported, Counter>,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Registering(Registry::with_prefix("outcrop"));
        let generation =
            all.add("config_generation", "The number of times that the configuration was applied, including the start");
        let first_content = Histogram::new(FIRST_CONTENT);
        let help = "Time from the call to its first content, including retries and backoff";
        all.0.register_with_unit("first_content", help, Unit::Seconds, first_content.clone());
        let inner = Inner {
            generation,
            failed_reloads: all
                .add("config_reloads_failed", "Changes of the configuration file that could not be used"),
            connections: all.add("connections_open", "Open connections of clients"),
            connections_refused: all
                .add("connections_refused", "Connections that were closed at once because of a limit"),
            tls_handshakes: all.add("tls_handshakes", "TLS handshakes by outcome"),
            certificate_expiry: all.add_with(
                Unit::Seconds,
                "tls_certificate_expiry",
                "When the certificate of the server expires, in seconds since 1970. 0 without TLS",
            ),
            running: all.add("streams_running", "Running streams"),
            drains: all.add("drains_running", "Abandoned calls that are being drained"),
            request_memory: all.add_with(Unit::Bytes, "request_memory", "Memory of requests until their first content"),
            audit_lines_lost: all.add("audit_lines_lost", "Lines of the audit log that were lost"),
            audit_writes_failed: all
                .add("audit_writes_failed", "Failed writes of the audit log, which are tried again"),
            finished: all.add("streams_finished", "Streams that ended with OK"),
            failed: all.add("streams_failed", "Streams that ended with a status other than OK"),
            abandoned: all.add("streams_abandoned", "Abandoned streams by mode and source of their usage"),
            refused: all.add("calls_refused", "Calls that were refused before a request was sent to Bedrock"),
            attempts: all.add("attempts", "Attempts at Bedrock by region and outcome"),
            tokens: all.add("tokens", "Tokens used, as reported by Bedrock"),
            first_content,
            spans_dropped: all.add("telemetry_spans_dropped", "Spans that did not reach the collector"),
            exports_failed: all.add("telemetry_exports_failed", "Exports that the collector did not take"),
            registry: all.0,
        };
        inner.generation.set(1);
        Self(Arc::new(inner))
    }
}

/// Registers metrics while they are made.
struct Registering(Registry);

impl Registering {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn add_with<M: Metric + Clone + Default>(&mut self, unit: Unit, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
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

    /// Records that a stream has ended.
    pub(crate) fn ended(&self) {
        self.0.running.dec();
    }

    /// Records that a stream has ended and its call is being drained.
    pub(crate) fn drain_begun(&self) {
        self.0.running.dec();
        self.0.drains.inc();
    }

    pub(crate) fn drain_ended(&self) {
        self.0.drains.dec();
    }

    /// Counts a call at its end.
    pub(crate) fn call_ended(&self, call: &CallSummary<'_>) {
        let (tenant, model) = (|| call.tenant().to_owned(), || call.model_label.to_owned());
        match call.outcome {
            Outcome::Answered | Outcome::Left => {}
            Outcome::Refused(error) => self.refused(error.reason()),
            Outcome::Finished => {
                self.0.finished.get_or_create(&OfModel { tenant: tenant(), model: model() }).inc();
            }
            Outcome::Failed(error) => {
                let (reason, phase) = (error.reason().name(), error.phase().name());
                self.0.failed.get_or_create(&Failure { tenant: tenant(), model: model(), reason, phase }).inc();
            }
            Outcome::Abandoned { mode, .. } => {
                // Usage is never estimated.
                let usage = if call.used.is_some() { "provider" } else { "none" };
                self.0.abandoned.get_or_create(&Abandonment { tenant: tenant(), model: model(), mode, usage }).inc();
            }
        }
        let Some(used) = call.used else { return };
        for (direction, tokens) in [("input", used.input), ("output", used.output)] {
            self.0
                .tokens
                .get_or_create(&TokensUsed { tenant: tenant(), model: model(), direction })
                .inc_by(tokens.into());
        }
    }

    pub(crate) fn audit_line_lost(&self) {
        self.0.audit_lines_lost.inc();
    }

    pub(crate) fn audit_write_failed(&self) {
        self.0.audit_writes_failed.inc();
    }

    /// How many bytes requests have taken now.
    pub(crate) fn request_memory(&self, bytes: u64) {
        self.0.request_memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn spans_dropped(&self, cause: &'static str, spans: u64) {
        self.0.spans_dropped.get_or_create(&Dropped { cause }).inc_by(spans);
    }

    pub(crate) fn export_failed(&self, signal: &'static str) {
        self.0.exports_failed.get_or_create(&Exported { signal }).inc();
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.0.refused.get_or_create(&Refusal { reason: reason.name() }).inc();
    }

    /// Records the outcome of an attempt in this region.
    pub(crate) fn attempted(&self, region: &str, failure: Option<Reason>) {
        let outcome = failure.map_or("ANSWERED", Reason::name);
        self.0.attempts.get_or_create(&Attempted { region: region.to_owned(), outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{CallContext, Error},
        event::Used,
    };

    #[test]
    fn the_documentation_has_the_same_metrics() {
        let document = include_str!("../docs/metrics.md");
        let metrics = Metrics::default();
        // A metric with labels appears once it has a value.
        metrics.connection_refused("total");
        metrics.tls_handshake("completed");
        metrics.attempted("us-east-1", None);
        let error = Error::new(Reason::Internal, "");
        let abandoned = Outcome::Abandoned { mode: "cancel", result: "" };
        for outcome in [Outcome::Finished, Outcome::Failed(&error), Outcome::Refused(&error), abandoned] {
            metrics.call_ended(&CallSummary {
                method: "Generate",
                identity: None,
                model: "a.b",
                model_label: "a.b",
                outcome,
                attempts: &CallContext::default(),
                duration: Duration::from_secs(1),
                first_content: None,
                used: Some(Used { input: 1, output: 2, ..Used::default() }),
                stop_reason: None,
            });
        }
        metrics.spans_dropped("queue_full", 1);
        metrics.export_failed("traces");
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
