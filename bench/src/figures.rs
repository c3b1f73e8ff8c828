//! The figures of rounds: medians, and the ratios within the rounds with their spread.

use std::fmt;

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
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}
