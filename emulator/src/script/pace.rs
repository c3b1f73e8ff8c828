//! The pauses before frames: the same ones always, or drawn from a distribution with a median and a tail.

use std::{str::FromStr, time::Duration};

use fastrand::Rng;
use serde::Deserialize;

/// The standard score of the 99th percentile of a normal distribution.
const Z99: f64 = 2.326_347_874;

/// The longest pause that is drawn, in milliseconds: an hour.
const LONGEST_MS: f64 = 3_600_000.0;

/// The pauses before frames.
///
/// With a 99th percentile, pauses have a log-normal distribution, as the latencies of models do, and `first_ms` or `gap_ms` is its median. They
/// depend on the seed alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Before the first frame, in milliseconds.
    pub first_ms: u64,
    /// Before each further frame, in milliseconds.
    pub gap_ms: u64,
    /// The 99th percentile of the first pause. At least `first_ms`.
    pub first_p99_ms: Option<u64>,
    /// The 99th percentile of the further pauses. At least `gap_ms`.
    pub gap_p99_ms: Option<u64>,
    /// What the pauses are drawn from. The emulator adds its own seed and the number of the request.
    pub seed: u64,
}

/// A pace is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PaceError(String);

impl Pace {
    /// The pause before the frame with this index.
    pub(crate) fn before(&self, frame: usize) -> Duration {
        let (median, p99) =
            if frame == 0 { (self.first_ms, self.first_p99_ms) } else { (self.gap_ms, self.gap_p99_ms) };
        match p99 {
            Some(p99) if p99 > median => draw(median, p99, mixed(self.seed, frame as u64)),
            _ => Duration::from_millis(median),
        }
    }

    /// Whether each 99th percentile is at least its median.
    pub(super) fn check(&self) -> Result<(), PaceError> {
        for (name, median, p99) in [("first", self.first_ms, self.first_p99_ms), ("gap", self.gap_ms, self.gap_p99_ms)]
        {
            if let Some(p99) = p99.filter(|p99| *p99 < median) {
                return Err(PaceError(format!("{name}_p99_ms is {p99}, below {name}_ms ({median})")));
            }
        }
        Ok(())
    }
}

impl FromStr for Pace {
    type Err = PaceError;

    /// Reads `FIRST[/P99],GAP[/P99]`, in milliseconds.
    fn from_str(text: &str) -> Result<Self, PaceError> {
        let form = || {
            PaceError(format!(
                "{text:?} is not FIRST[/P99],GAP[/P99] in milliseconds, such as 350,25 or 350/2000,25/200"
            ))
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| form());
        let pause = |text: &str| match text.split_once('/') {
            Some((median, p99)) => Ok((number(median)?, Some(number(p99)?))),
            None => Ok((number(text)?, None)),
        };
        let (first, gap) = text.split_once(',').ok_or_else(form)?;
        let ((first_ms, first_p99_ms), (gap_ms, gap_p99_ms)) = (pause(first)?, pause(gap)?);
        let pace = Self { first_ms, gap_ms, first_p99_ms, gap_p99_ms, seed: 0 };
        pace.check()?;
        Ok(pace)
    }
}

/// A seed that differs for each number, and for near numbers as much as for others.
pub(crate) fn mixed(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 27)
}

fn draw(median: u64, p99: u64, seed: u64) -> Duration {
    let mut random = Rng::with_seed(seed);
    // A normal distribution, after Box and Muller. The logarithm of 0 is avoided.
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), std::f64::consts::TAU * random.f64());
    let normal = radius * angle.cos();
    #[expect(clippy::cast_precision_loss, reason = "a pause needs no more than 52 bits")]
    let (median, p99) = (median.max(1) as f64, p99 as f64);
    let sigma = (p99 / median).ln() / Z99;
    Duration::from_secs_f64((median * (sigma * normal).exp()).min(LONGEST_MS) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_the_median_and_the_tail_that_were_asked_for() {
        let pace: Pace = "350/2000,25/200".parse().unwrap();
        let mut drawn: Vec<_> = (0..20_000).map(|seed| Pace { seed, ..pace }.before(0).as_secs_f64() * 1e3).collect();
        let mut gaps: Vec<_> = (1..20_001).map(|frame| pace.before(frame).as_secs_f64() * 1e3).collect();
        for (drawn, median, p99) in [(&mut drawn, 350.0, 2_000.0), (&mut gaps, 25.0, 200.0)] {
            drawn.sort_by(f64::total_cmp);
            let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.08;
            assert!(near(drawn[10_000], median), "the median is {}", drawn[10_000]);
            assert!(near(drawn[19_800], p99), "the 99th percentile is {}", drawn[19_800]);
        }
    }

    #[test]
    fn pauses_depend_on_the_seed_alone() {
        let pace: Pace = "350/2000,25/200".parse().unwrap();
        let pauses = |seed| (0..20).map(|frame| Pace { seed, ..pace }.before(frame)).collect::<Vec<_>>();
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
        let steady: Pace = "350,25".parse().unwrap();
        assert_eq!([0, 1, 7].map(|frame| steady.before(frame).as_millis()), [350, 25, 25]);
    }

    #[test]
    fn a_wrong_pace_is_refused() {
        for text in ["350", "350,", "a,b", "1,2,3", "1/2/3,4", "-1,2", "350/,25"] {
            let error = text.parse::<Pace>().unwrap_err().to_string();
            assert!(error.contains("is not FIRST[/P99],GAP[/P99]"), "{error}");
        }
        assert_eq!("350/300,25".parse::<Pace>().unwrap_err().to_string(), "first_p99_ms is 300, below first_ms (350)");
    }
}
