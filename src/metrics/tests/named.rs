//! Every metric and label that the dashboard, the alerts and the documents name exists.

use std::collections::BTreeSet;

use crate::metrics::table::{AnyRow, Kind, TABLE};

const FILES: [(&str, &str); 5] = [
    ("deploy/grafana/outcrop.json", include_str!("../../../deploy/grafana/outcrop.json")),
    ("deploy/prometheus/outcrop.rules.yml", include_str!("../../../deploy/prometheus/outcrop.rules.yml")),
    ("deploy/prometheus/tests.yml", include_str!("../../../deploy/prometheus/tests.yml")),
    ("docs/observe.md", include_str!("../../../docs/observe.md")),
    ("docs/security.md", include_str!("../../../docs/security.md")),
];

/// What Prometheus adds to the labels of a scrape, and to alerts.
const ADDED: [&str; 4] = ["instance", "job", "le", "severity"];

/// The row with this series.
fn row_of(series: &str) -> Option<&'static AnyRow> {
    let is_of = |row: &&AnyRow| {
        row.name == series
            || row.kind == Kind::Histogram
                && ["_bucket", "_sum", "_count"].iter().any(|end| series.strip_suffix(end) == Some(row.name))
    };
    TABLE.iter().find(is_of)
}

/// The names of series in a text, each with what follows.
fn series(text: &str) -> impl Iterator<Item = (&str, &str)> {
    ["outcrop_", "process_"].into_iter().flat_map(move |prefix| {
        text.match_indices(prefix).filter_map(move |(at, _)| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if text[..at].ends_with(|c: char| is_part(c) || c == '-' || c == '/') {
                return None;
            }
            let rest = &text[at..];
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            Some((&rest[..end], &rest[end..]))
        })
    })
}

/// The names of labels in braces behind a series.
fn selected(rest: &str) -> Vec<String> {
    let Some(inner) = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) else { return Vec::new() };
    let inner = inner.replace('\\', "");
    let names = inner.split('"').step_by(2).map(|part| part.trim_matches([' ', ',', '=', '~', '!']).to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_metric_that_a_file_names_exists_with_its_labels() {
    for (file, text) in FILES {
        let mut named = 0;
        for (name, rest) in series(text) {
            let Some(row) = row_of(name) else { panic!("{file} names {name}, which does not exist") };
            for label in selected(rest) {
                let known = row.labels.contains(&label.as_str()) || ADDED.contains(&label.as_str());
                assert!(known, "{file} selects {name} by {label}");
            }
            named += 1;
        }
        assert!(named > 0, "{file} names no metric");
    }
}

/// The labels that the expressions of a text group by.
fn grouped(text: &str) -> BTreeSet<String> {
    let groups = text.match_indices("by (").chain(text.match_indices("on ("));
    let inner = groups.filter_map(|(at, _)| text[at + 4..].split(')').next());
    inner.flat_map(|list| list.split(',').map(|label| label.trim().to_owned())).filter(|l| !l.is_empty()).collect()
}

#[test]
fn every_label_that_a_file_groups_or_writes_exists() {
    let known: BTreeSet<_> = TABLE.iter().flat_map(|row| row.labels).chain(&ADDED).copied().collect();
    // docs/security.md has `{{` for other things.
    for (file, text) in &FILES[..4] {
        let written = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        let written = written.map(|name| name.trim().trim_start_matches("$labels.").to_owned());
        let written = written.filter(|name| !name.starts_with("$value"));
        let unknown: Vec<_> =
            grouped(text).into_iter().chain(written).filter(|l| !known.contains(l.as_str())).collect();
        assert!(unknown.is_empty(), "{file} uses the labels {unknown:?}");
    }
}

#[test]
fn every_alert_leads_to_its_section_of_the_documentation() {
    let [_, (_, rules), _, (_, document), _] = FILES;
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    for alert in alerts {
        assert!(rules.contains(&format!("runbook_url: docs/observe.md#{}\n", alert.to_lowercase())), "{alert}");
        assert!(document.contains(&format!("\n### {alert}\n")), "docs/observe.md lacks {alert}");
    }
}
