//! Counts what does not reach the collector, and writes it to the log at most once a minute.

use std::{sync::Arc, time::Duration};

use opentelemetry_sdk::error::OTelSdkError;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::metrics::Metrics;

/// The shortest time between two lines of the log.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// Its name in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// Why spans are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// As many as may wait were waiting.
    QueueFull,
    /// The collector did not take them.
    ExportFailed,
}

impl Lost {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
        }
    }
}

/// The losses of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct Losses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    state: Mutex<State>,
}

/// What the log does not have yet.
#[derive(Debug, Default)]
struct State {
    spans: u64,
    failed_exports: u64,
    error: String,
    /// When the last line was written.
    reported: Option<Instant>,
    /// Whether the last line said that something is lost.
    is_losing: bool,
}

impl Losses {
    /// Counts in these metrics.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { metrics, state: Mutex::default() }))
    }

    /// Counts spans that are lost. It does not write to the log, because a call waits for it.
    pub(super) fn spans(&self, lost: Lost, spans: u64) {
        self.0.metrics.spans_dropped(lost.name(), spans);
        self.0.state.lock().spans += spans;
    }

    /// Records an export, and tells the log what was lost so far if it is time.
    pub(super) fn exported(&self, signal: Signal, error: Option<&OTelSdkError>) {
        if let Some(error) = error {
            self.0.metrics.export_failed(signal.name());
            let mut state = self.0.state.lock();
            state.failed_exports += 1;
            // It has the gRPC code, and no text of the collector.
            state.error = error.to_string();
        }
        self.report(error.is_none(), Instant::now());
    }

    /// Tells the log what it does not have yet.
    pub(super) fn report_all(&self) {
        self.0.state.lock().reported = None;
        self.report(false, Instant::now());
    }

    fn report(&self, delivered: bool, now: Instant) {
        let mut state = self.0.state.lock();
        if state.reported.is_some_and(|reported| now < reported + REPORT_EVERY) {
            return;
        }
        let State { spans, failed_exports, ref error, is_losing, .. } = *state;
        if spans > 0 || failed_exports > 0 {
            warn!(spans, failed_exports, %error, "traces or metrics are lost: the collector (--otlp-endpoint) did not take them");
        } else if delivered && is_losing {
            info!("the collector takes traces and metrics again");
        } else {
            return;
        }
        let is_losing = spans > 0 || failed_exports > 0;
        *state = State { reported: Some(now), is_losing, ..State::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losing() -> (Losses, OTelSdkError) {
        (Losses::new(Metrics::default()), OTelSdkError::InternalFailure("Unavailable".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_gets_a_line_a_minute_with_everything_since_the_last() {
        let (losses, error) = losing();
        let waiting = || {
            let state = losses.0.state.lock();
            (state.spans, state.failed_exports, state.is_losing)
        };
        losses.spans(Lost::ExportFailed, 5);
        losses.exported(Signal::Traces, Some(&error));
        assert_eq!(waiting(), (0, 0, true), "the first is told at once");
        for _ in 0..100 {
            losses.spans(Lost::QueueFull, 3);
            losses.exported(Signal::Metrics, Some(&error));
        }
        assert_eq!(waiting(), (300, 100, true), "and the others wait");
        tokio::time::advance(REPORT_EVERY).await;
        losses.exported(Signal::Traces, None);
        assert_eq!(waiting(), (0, 0, true), "also if the last export did not fail");
        losses.exported(Signal::Traces, None);
        assert_eq!(waiting(), (0, 0, true));
        tokio::time::advance(REPORT_EVERY).await;
        losses.exported(Signal::Traces, None);
        assert_eq!(waiting(), (0, 0, false), "the end of the losses is told");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_log_does_not_have_is_told_at_the_end() {
        let (losses, error) = losing();
        losses.exported(Signal::Metrics, Some(&error));
        losses.spans(Lost::QueueFull, 7);
        losses.report_all();
        assert_eq!(losses.0.state.lock().spans, 0);
    }

    #[test]
    fn losses_are_counted() {
        let (losses, error) = losing();
        losses.spans(Lost::QueueFull, 2);
        losses.spans(Lost::ExportFailed, 3);
        losses.exported(Signal::Metrics, Some(&error));
        let text = losses.0.metrics.text().unwrap();
        for line in [
            "outcrop_telemetry_spans_dropped_total{cause=\"queue_full\"} 2",
            "outcrop_telemetry_spans_dropped_total{cause=\"export_failed\"} 3",
            "outcrop_telemetry_exports_failed_total{signal=\"metrics\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
