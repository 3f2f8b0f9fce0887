//! Durations and timestamps as the API writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::types::clock::rfc3339_of;

/// Returns a duration in milliseconds, with microsecond resolution.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of centuries fit into 53 bits"
)]
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Returns a time in milliseconds since the Unix epoch; 0 for an earlier one.
#[must_use]
pub fn unix_millis(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a Unix time in milliseconds as RFC 3339 in UTC; the epoch for a negative one.
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    let time = UNIX_EPOCH
        .checked_add(since_epoch)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    rfc3339_of(time)
}
