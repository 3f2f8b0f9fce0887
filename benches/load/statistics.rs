//! Medians and percentiles.

/// Returns the middle of the values; of an even number the upper of the two. 0 of none.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Returns the value that `percent` of the values do not exceed. 0 of none.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(rank).copied().unwrap_or_default()
}

/// Returns the least and the most of the values.
pub fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (
        least,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}
