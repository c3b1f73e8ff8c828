//! The text format of Prometheus, for tools that do not read OpenMetrics: there the header of a counter has `_total` like its samples, and there
//! are no units and no end.

/// The same metrics in the text format of Prometheus.
pub(super) fn of_open_metrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    let mut add = |line: &str| {
        plain.push_str(line);
        plain.push('\n');
    };
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            // It stands before the type, which its name depends on.
            help = Some(line);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let meaning = help.take().and_then(|help| help.splitn(4, ' ').nth(3)).unwrap_or_default();
            add(&format!("# HELP {name}{suffix} {meaning}"));
            add(&format!("# TYPE {name}{suffix} {kind}"));
        } else if !line.starts_with('#') {
            add(line);
        }
    }
    plain
}
