//! The table, the documentation and what is written at a scrape are the same.

mod named;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    quotas::{CallerFigures, Figures, ModelFigures},
    table::{AnyRow, In, Kind, Stability, TABLE},
    *,
};
use crate::{
    error::{CallContext, Error, Reason},
    event::Used,
    outcome::{CallSummary, Outcome, pace::Pace},
    proto::{CallerQuota, CallerQuotaKind, ModelQuota, QuotaUsage},
};

/// Metrics of which each has a value.
fn all_with_values() -> Metrics {
    let (metrics, second) = (Metrics::default(), Duration::from_secs(1));
    metrics.limits(10, Some(1), Some(1));
    metrics.connection_refused("total");
    metrics.tls_handshake("completed");
    metrics.attempted("a.b", "us-east-1", None);
    metrics.attempt_answered("a.b", "us-east-1", second);
    metrics.connected("connected", second);
    metrics.retried("repeat");
    metrics.breaker_is("a.b", "open");
    metrics.breaker_opened("a.b");
    metrics.stored("memory", "append", second, Some("failed"));
    metrics.first_content("a.b", second);
    metrics.stream_begun("a.b");
    metrics.spans_dropped("queue_full", 1);
    metrics.export_failed("traces");
    metrics.queued();
    metrics.dequeued("admitted", second);
    let error = Error::new(Reason::Internal, "");
    let abandoned = Outcome::Abandoned { mode: "cancel", result: "" };
    let mut pace = Pace::default();
    pace.chunks(1, tokio::time::Instant::now());
    for outcome in [Outcome::Finished, Outcome::Failed(&error), Outcome::Refused(&error), abandoned] {
        metrics.call_ended(&CallSummary {
            method: "Generate",
            identity: None,
            model: "a.b",
            model_label: "a.b",
            outcome,
            attempts: &CallContext::default(),
            duration: 3 * second,
            first_content: Some(second),
            used: Some(Used { input: 10, output: 2, cache_read: 3, cache_write: 4 }),
            stop_reason: None,
            pace: Some(&pace),
        });
    }
    metrics.0.stalls.of(["a.b".into()]).inc();
    metrics.read_quotas(figures);
    metrics
}

/// A quota and a budget with a value for each metric.
fn figures() -> Figures {
    let usage = |limit| Some(QuotaUsage { limit, share: limit / 2, reserved: 1, used: 2, free: 3 });
    let quota = ModelQuota {
        model_id: "a.b".to_owned(),
        region: "us-east-1".to_owned(),
        tokens_per_minute: usage(1_000),
        requests_per_minute: usage(60),
        streams: usage(10),
        safe_share: 0.75,
        waiting_calls: 4,
        throttled_calls: 5,
        ..ModelQuota::default()
    };
    let kind = CallerQuotaKind::CostMicrosPerDay.into();
    let budgets = vec![CallerQuota { kind, usage: usage(500), reset_time: None }];
    Figures {
        models: vec![ModelFigures { quota, charged_tokens: 9_000 }],
        callers: vec![CallerFigures { name: "billing".to_owned(), budgets }],
    }
}

#[test]
fn quotas_and_budgets_are_read_at_each_scrape() {
    let metrics = Metrics::default();
    assert!(!metrics.text().unwrap().contains("outcrop_quota"));
    let scrapes = AtomicU64::new(0);
    metrics.read_quotas(move || {
        let mut figures = figures();
        figures.models[0].charged_tokens = scrapes.fetch_add(1, Ordering::Relaxed);
        figures
    });
    let of_model = |rest: &str| format!("{{model=\"a.b\",region=\"us-east-1\"{rest}");
    let text = metrics.text().unwrap();
    for line in [
        format!("outcrop_quota_limit{} 1000", of_model(",quota=\"tokens\"}")),
        format!("outcrop_quota_share{} 30", of_model(",quota=\"requests\"}")),
        format!("outcrop_quota_reserved{} 1", of_model(",quota=\"streams\"}")),
        format!("outcrop_quota_used{} 2", of_model(",quota=\"requests\"}")),
        format!("outcrop_quota_free{} 3", of_model(",quota=\"streams\"}")),
        format!("outcrop_quota_safe_share{} 0.75", of_model("}")),
        format!("outcrop_quota_waiting_calls{} 4", of_model("}")),
        format!("outcrop_quota_throttled_calls_total{} 5", of_model("}")),
        format!("outcrop_quota_charged_tokens_total{} 0", of_model("}")),
        "outcrop_budget_limit{caller=\"billing\",budget=\"cost_micros_per_day\"} 500".to_owned(),
        "outcrop_budget_reserved{caller=\"billing\",budget=\"cost_micros_per_day\"} 1".to_owned(),
        "outcrop_budget_spent{caller=\"billing\",budget=\"cost_micros_per_day\"} 2".to_owned(),
    ] {
        assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
    }
    assert!(!text.lines().any(|line| line.starts_with("outcrop_quota_used") && line.contains("streams")), "{text}");
    assert!(metrics.text().unwrap().contains(&format!("outcrop_quota_charged_tokens_total{} 1\n", of_model("}"))));
}

fn kind_of(row: &AnyRow) -> &'static str {
    match row.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn unit_of(row: &AnyRow) -> &'static str {
    match row.unit {
        In::Number => "",
        In::Seconds => "seconds",
        In::Bytes => "bytes",
    }
}

/// The names of the labels of a sample.
fn labels_of(sample: &str) -> Vec<&str> {
    let Some((_, rest)) = sample.split_once('{') else { return Vec::new() };
    let names = rest.split("=\"").filter_map(|part| part.rsplit(['{', ',']).next());
    names.filter(|name| *name != "le" && !name.contains('"')).collect()
}

#[test]
fn a_scrape_has_the_metrics_of_the_table_and_no_other() {
    let text = all_with_values().text().unwrap();
    let header = |word: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("# {word} ")));
        lines.filter_map(|line| line.split_once(' ')).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (types, helps, units) = (header("TYPE"), header("HELP"), header("UNIT"));
    for row in TABLE.iter().filter(|row| cfg!(target_os = "linux") || !row.name.starts_with("process_")) {
        let name = row.name.strip_suffix("_total").unwrap_or(row.name);
        assert_eq!(types.get(name).map(String::as_str), Some(kind_of(row)), "{name}");
        assert_eq!(helps[name].trim_end_matches('.'), row.meaning);
        assert_eq!(units.get(name).map_or("", String::as_str), unit_of(row), "{name}");
        let sample = if row.kind == Kind::Histogram { format!("{name}_bucket") } else { row.name.to_owned() };
        let mut samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(&sample)).peekable();
        assert!(samples.peek().is_some(), "{sample} has no value");
        samples.for_each(|sample| assert_eq!(labels_of(sample), row.labels, "{sample}"));
    }
    let known: Vec<_> = TABLE.iter().map(|row| row.name.strip_suffix("_total").unwrap_or(row.name)).collect();
    let unknown: Vec<_> = types.keys().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "the table lacks {unknown:?}");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    for row in TABLE {
        let name = row.name;
        assert!(name.starts_with("outcrop_") || name.starts_with("process_"), "{name} has no namespace");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), row.kind == Kind::Counter, "{name} is a {:?}", row.kind);
        let unit = name.strip_suffix("_total").unwrap_or(name).rsplit('_').next().unwrap();
        // A rate is a number of something in a time.
        let named = if name.ends_with("_per_second") { "" } else { unit_of(row) };
        assert_eq!(["seconds", "bytes"].contains(&unit), !named.is_empty(), "{name} is in {:?}", row.unit);
        assert!(named.is_empty() || named == unit, "{name} is in {:?}", row.unit);
        assert!(!["_sum", "_count", "_bucket", "_info_total"].iter().any(|end| name.ends_with(end)), "{name}");
        assert!(row.labels.iter().all(|label| !label.is_empty() && !["le", "quantile", "job"].contains(label)));
        assert!(!row.meaning.is_empty() && !row.meaning.ends_with('.'), "{name}");
    }
}

#[test]
fn the_documentation_has_the_table_column_by_column() {
    let document = include_str!("../../docs/metrics.md");
    let plain = |cell: &str| {
        let mut text = String::new();
        for part in cell.split('[') {
            // What stands in a link, without its address.
            match part.split_once("](") {
                Some((words, rest)) => {
                    text.push_str(words);
                    text.push_str(rest.split_once(')').map_or(rest, |(_, rest)| rest));
                }
                None => text.push_str(part),
            }
        }
        text.replace('`', "").trim().to_owned()
    };
    let row_of = |line: &str| line.trim_matches('|').split(" | ").map(plain).collect::<Vec<_>>();
    let documented: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| row_of(&line.replace("| |", "|  |").replace("| |", "|  |")))
        .collect();
    let expected: Vec<_> = TABLE
        .iter()
        .map(|row| {
            let stability = match row.stability {
                Stability::Stable => "stable",
                Stability::Experimental => "experimental",
            };
            [row.name, kind_of(row), unit_of(row), &row.labels.join(", "), stability, row.meaning].map(str::to_owned)
        })
        .collect();
    for (written, expected) in documented.iter().zip(&expected) {
        assert_eq!(written, expected, "docs/metrics.md differs from src/metrics/table.rs");
    }
    assert_eq!(documented.len(), expected.len(), "docs/metrics.md and src/metrics/table.rs have different rows");
}

#[test]
fn prometheus_own_format_has_the_same_samples() {
    let open = all_with_values().text().unwrap();
    let plain = plain::of_open_metrics(&open);
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&plain), samples(&open));
    assert!(plain.contains("# HELP outcrop_stalls_total gaps of at least 10 s"), "{plain}");
    assert!(plain.contains("\n# TYPE outcrop_stalls_total counter\noutcrop_stalls_total{"), "{plain}");
    assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"));
}

#[test]
fn tokens_of_the_prompt_cache_are_counted_once() {
    let text = all_with_values().text().unwrap();
    for (kind, tokens) in [("input", 12), ("output", 8), ("cache_read", 12), ("cache_write", 16)] {
        let line = format!("outcrop_tokens_total{{tenant=\"\",model=\"a.b\",kind=\"{kind}\"}} {tokens}\n");
        assert!(text.contains(&line), "{line} in {text}");
        let abandoned =
            format!("outcrop_abandoned_tokens_total{{tenant=\"\",model=\"a.b\",kind=\"{kind}\"}} {}\n", tokens / 4);
        assert!(text.contains(&abandoned), "{abandoned} in {text}");
    }
    assert!(text.contains("outcrop_output_tokens_per_second_sum{model=\"a.b\"} 1.0\n"), "2 tokens in 2 s: {text}");
}

#[test]
fn a_limit_that_is_taken_away_has_no_series() {
    let metrics = Metrics::default();
    metrics.limits(10, Some(5), None);
    let limits = |metrics: &Metrics| metrics.text().unwrap().matches("outcrop_streams_limit{").count();
    assert_eq!(limits(&metrics), 2);
    metrics.limits(10, None, None);
    assert_eq!(limits(&metrics), 1);
}
