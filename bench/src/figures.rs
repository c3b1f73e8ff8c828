//! The figures of rounds: medians, and the ratios within the rounds with their spread.

use std::{collections::BTreeMap, fmt, time::Duration};

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// The processor time of a chunk, in seconds.
    Chunk,
    /// The processor time of a whole call, in seconds.
    Call,
    /// From a call to its first text, in seconds.
    First(Point),
    /// From the emulator to the caller, in seconds.
    Delay(Point),
    /// Between two texts of a paced stream, in seconds.
    Gap(Point),
    /// The most resident memory, in bytes.
    Peak,
    /// The memory of an open stream, in bytes.
    Stream,
    /// The part of it that is still resident a minute after the last stream has ended, in bytes.
    Kept,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    P50,
    P90,
    P99,
    Max,
}

/// The figures of one run. What was not measured is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured(BTreeMap<Figure, f64>);

/// What one program took in each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<f64>);

/// The ratios of the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Measured {
    /// Adds a figure, unless it is not a number.
    pub(crate) fn add(&mut self, figure: Figure, value: f64) {
        if value.is_finite() {
            self.0.insert(figure, value);
        }
    }

    /// Adds points of a distribution, unless there is none.
    pub(crate) fn add_points(&mut self, figure: impl Fn(Point) -> Figure, mut times: Vec<Duration>) {
        times.sort_unstable();
        let Some(last) = times.len().checked_sub(1) else { return };
        for point in [Point::P50, Point::P90, Point::P99, Point::Max] {
            let at = (times.len() * point.percent() / 100).min(last);
            self.0.extend(times.get(at).map(|time| (figure(point), time.as_secs_f64())));
        }
    }

    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.0.get(&figure).copied()
    }
}

impl Point {
    fn percent(self) -> usize {
        match self {
            Self::P50 => 50,
            Self::P90 => 90,
            Self::P99 => 99,
            Self::Max => 100,
        }
    }
}

impl Figure {
    /// A value of it with its unit.
    pub(crate) fn with_unit(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "-".to_owned(),
            Self::Chunk | Self::Call => format!("{:.1} µs", value * 1e6),
            Self::First(_) | Self::Delay(_) | Self::Gap(_) => format!("{:.2} ms", value * 1e3),
            Self::Peak => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Stream | Self::Kept => format!("{:.1} KiB", value / f64::from(1 << 10)),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk => f.write_str("CPU of a chunk"),
            Self::Call => f.write_str("CPU of a call"),
            Self::First(point) => write!(f, "first content, {point}"),
            Self::Delay(point) => write!(f, "added delay, {point}"),
            Self::Gap(point) => write!(f, "gap, {point}"),
            Self::Peak => f.write_str("peak memory"),
            Self::Stream => f.write_str("memory of an open stream"),
            Self::Kept => f.write_str("of it a minute after the end"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::Max => "max",
        })
    }
}

impl Figures {
    /// Adds that of a round.
    pub(crate) fn add(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The middle one. NaN if there is none.
    pub(crate) fn median(&self) -> f64 {
        let sorted = sorted(self.0.iter().copied());
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The ratios to another program, round by round.
    pub(crate) fn ratio_to(&self, other: &Self) -> Ratio {
        let ratios = Self(sorted(self.0.iter().zip(&other.0).map(|(own, other)| own / other)));
        let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
        Ratio { median: ratios.median(), least: end(ratios.0.first()), most: end(ratios.0.last()) }
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.median.is_finite() {
            write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
        } else {
            f.write_str("-")
        }
    }
}
