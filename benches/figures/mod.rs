//! The figures of the benches: medians, and ratios within one run.

/// The middle one of the values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the ratios of the rounds, and their spread.
pub(crate) fn ratio(of: &[f64], to: &[f64]) -> String {
    let mut ratios: Vec<_> = of.iter().zip(to).map(|(one, other)| one / other).collect();
    ratios.sort_by(f64::total_cmp);
    format!("{:.3} ({:.3} to {:.3})", ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}
