//! The metrics of the server. `table` says what each means; docs/metrics.md has the same rows.
//!
//! - `endpoint` serves them, in the format of OpenMetrics or of Prometheus (`plain`)
//! - `all` makes them from the table, with `registering`; `gaps` is a histogram for whole streams; `process` and `quotas` read
//!   theirs at each scrape
//! - `calls` and `upstream` count calls and Bedrock

mod all;
mod calls;
pub(crate) mod endpoint;
mod gaps;
mod plain;
mod process;
pub(crate) mod quotas;
mod registering;
pub(crate) mod table;
mod upstream;

use std::{fmt, sync::Arc, time::SystemTime};

use prometheus_client::encoding::text::encode;

use self::{all::All, quotas::Figures};

/// All metrics. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<All>);

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

    /// Sets where the metrics of quotas and budgets are read at each scrape.
    pub(crate) fn read_quotas(&self, source: impl Fn() -> Figures + Send + Sync + 'static) {
        self.0.quotas.read_from(source);
    }

    /// Records the limits of running streams: of the server, of each caller, and of each model.
    pub(crate) fn limits(&self, server: usize, caller: Option<usize>, model: Option<usize>) {
        for (limit, streams) in [("server", Some(server)), ("caller", caller), ("model", model)] {
            match streams {
                Some(streams) => {
                    let streams = i64::try_from(streams).unwrap_or(i64::MAX);
                    self.0.streams_limit.of([limit.into()]).set(streams);
                }
                None => self.0.streams_limit.remove([limit.into()]),
            }
        }
    }

    pub(crate) fn connection_opened(&self) {
        self.0.connections.inc();
    }

    pub(crate) fn connection_closed(&self) {
        self.0.connections.dec();
    }

    pub(crate) fn connection_refused(&self, limit: &'static str) {
        self.0.connections_refused.of([limit.into()]).inc();
    }

    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        self.0.tls_handshakes.of([outcome.into()]).inc();
    }

    pub(crate) fn certificate_expires(&self, at: SystemTime) {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.0.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
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
        self.0.spans_dropped.of([cause.into()]).inc_by(spans);
    }

    pub(crate) fn export_failed(&self, signal: &'static str) {
        self.0.exports_failed.of([signal.into()]).inc();
    }
}

#[cfg(test)]
mod tests;
