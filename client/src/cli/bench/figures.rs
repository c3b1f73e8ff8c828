//! The figures of a benchmark: percentiles, throughput and failures.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::{Map, Value, json};

use super::Measured;

/// The percentiles, with the number of values from which each differs from the largest value.
const PERCENTILES: [(usize, usize); 4] = [(50, 2), (90, 10), (95, 20), (99, 100)];

/// What was measured.
pub(super) struct Figures {
    concurrency: u32,
    elapsed: Duration,
    complete: usize,
    failures: BTreeMap<String, usize>,
    first_content: Vec<Duration>,
    whole: Vec<Duration>,
    /// The time for each token after the first.
    token: Vec<Duration>,
    tokens: Option<u64>,
}

impl Figures {
    pub(super) fn of(measured: &[Measured], concurrency: u32, elapsed: Duration) -> Self {
        let (complete, failed): (Vec<_>, Vec<_>) = measured.iter().partition(|one| one.failure.is_none());
        let mut failures = BTreeMap::new();
        for reason in failed.iter().filter_map(|one| one.failure.clone()) {
            *failures.entry(reason).or_default() += 1;
        }
        let sorted = |values: &mut dyn Iterator<Item = Duration>| {
            let mut values: Vec<_> = values.collect();
            values.sort();
            values
        };
        // The first content can have several tokens, so this is an estimate.
        let token = |one: &&Measured| {
            let tokens = one.tokens.filter(|tokens| *tokens > 1)?;
            Some(one.whole.saturating_sub(one.first_content?) / (tokens - 1))
        };
        Self {
            concurrency,
            elapsed,
            complete: complete.len(),
            failures,
            first_content: sorted(&mut complete.iter().filter_map(|one| one.first_content)),
            whole: sorted(&mut complete.iter().map(|one| one.whole)),
            token: sorted(&mut complete.iter().filter_map(token)),
            // A sum without those that are not reported would be too small.
            tokens: complete.iter().map(|one| one.tokens.map(u64::from)).sum(),
        }
    }

    /// The figures for people.
    pub(super) fn text(&self, is_stopped: bool) -> String {
        let failed: usize = self.failures.values().sum();
        let seconds = self.elapsed.as_secs_f64();
        let stopped = if is_stopped { ", stopped before the end" } else { "" };
        let mut text = format!(
            "{} complete, {failed} failed, {} at a time, {seconds:.1} s{stopped}\n",
            self.complete, self.concurrency
        );
        for (reason, count) in &self.failures {
            let _ = writeln!(text, "  {reason}: {count}");
        }
        if self.complete == 0 {
            return text;
        }
        let head = PERCENTILES.map(|(percent, _)| format!("{:>10}", format!("p{percent}"))).concat();
        let _ = writeln!(text, "\n{:24}{head}{:>10}", "", "max");
        let rows = [
            ("time to first content", &self.first_content),
            ("time to the whole answer", &self.whole),
            ("time for a token", &self.token),
        ];
        for (name, values) in rows {
            let cells = PERCENTILES.map(|(percent, needed)| percentile(values, percent, needed));
            let cells = cells.into_iter().chain([values.last().copied()]);
            let _ = write!(text, "{name:24}");
            for value in cells {
                let _ = write!(text, "{:>10}", value.map_or("-".to_owned(), milliseconds));
            }
            text.push('\n');
        }
        let _ = write!(text, "\n{:.2} requests a second", rate(self.complete as u64, seconds));
        if let Some(tokens) = self.tokens {
            let _ = write!(text, ", {:.1} tokens a second together", rate(tokens, seconds));
        }
        if let Some(median) = percentile(&self.token, 50, 1).filter(|median| !median.is_zero()) {
            let _ = write!(text, ", {:.1} in one answer (median)", 1.0 / median.as_secs_f64());
        }
        text + "\n"
    }

    /// The figures for scripts, in seconds.
    pub(super) fn json(&self) -> Value {
        let seconds = self.elapsed.as_secs_f64();
        json!({
            "complete": self.complete,
            "failed": self.failures,
            "concurrency": self.concurrency,
            "seconds": seconds,
            "firstContentSeconds": percentiles(&self.first_content),
            "wholeAnswerSeconds": percentiles(&self.whole),
            "tokenSeconds": percentiles(&self.token),
            "requestsPerSecond": rate(self.complete as u64, seconds),
            "tokensPerSecond": self.tokens.map(|tokens| rate(tokens, seconds)),
        })
    }
}

/// The smallest value that is not exceeded by so many percent of the values. `None` if there are too few values to say.
fn percentile(sorted: &[Duration], percent: usize, needed: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    (sorted.len() >= needed).then(|| sorted.get(rank.saturating_sub(1)).copied()).flatten()
}

fn percentiles(sorted: &[Duration]) -> Value {
    let values = PERCENTILES.map(|(percent, needed)| (format!("p{percent}"), percentile(sorted, percent, needed)));
    let values = values.into_iter().chain([("max".to_owned(), sorted.last().copied())]);
    let object: Map<_, _> = values.map(|(name, value)| (name, json!(value.map(|value| value.as_secs_f64())))).collect();
    Value::Object(object)
}

fn milliseconds(value: Duration) -> String {
    let milliseconds = value.as_secs_f64() * 1000.0;
    if milliseconds < 100.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests or tokens is exact as a double")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(milliseconds: u64) -> Measured {
        Measured {
            first_content: Some(Duration::from_millis(milliseconds)),
            whole: Duration::from_millis(milliseconds + 100),
            tokens: Some(11),
            failure: None,
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for percent in [50, 90, 95, 99] {
            assert_eq!(percentile(&values, percent, 100), Some(Duration::from_millis(percent as u64)));
        }
        assert_eq!(percentile(&values[..99], 99, 100), None);
        assert_eq!(percentile(&values[..1], 50, 1), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50, 0), None);
    }

    #[test]
    fn failures_are_counted_and_in_no_percentile() {
        let failed = Measured { failure: Some("BEDROCK_THROTTLED".to_owned()), ..one(9000) };
        let figures = Figures::of(&[one(20), failed, one(10)], 2, Duration::from_secs(2));
        let json = figures.json();
        assert_eq!(json["complete"], 2);
        assert_eq!(json["failed"]["BEDROCK_THROTTLED"], 1);
        assert_eq!(json["firstContentSeconds"]["p50"], 0.01);
        assert_eq!(json["firstContentSeconds"]["max"], 0.02);
        assert_eq!(json["firstContentSeconds"]["p90"], Value::Null);
        assert_eq!(json["tokenSeconds"]["max"], 0.01);
        assert_eq!(json["tokensPerSecond"], 11.0);
        let text = figures.text(true);
        assert!(
            text.starts_with(
                "2 complete, 1 failed, 2 at a time, 2.0 s, stopped before the end\n  BEDROCK_THROTTLED: 1\n"
            ),
            "{text}"
        );
        assert!(text.contains("1.00 requests a second, 11.0 tokens a second together, 100.0 in one answer"), "{text}");
    }

    #[test]
    fn tokens_that_are_not_reported_are_not_made_up() {
        let unknown = Measured { tokens: None, ..one(10) };
        let figures = Figures::of(&[one(10), unknown], 1, Duration::from_secs(1));
        assert_eq!(figures.json()["tokensPerSecond"], Value::Null);
    }
}
