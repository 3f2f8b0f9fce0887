//! The wall clock, read in this module only; everything else takes the time as an argument or uses `Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Last second of the year 9999, after which RFC 3339 has no times, in seconds since the Unix epoch.
const LAST_SECOND: u64 = 253_402_300_799;

/// Returns the current wall-clock time.
#[expect(clippy::disallowed_methods, reason = "the one place")]
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns a time as RFC 3339 in UTC; the epoch for an earlier one, which a file or a device without a battery may have, and the end of
/// the year 9999 for a later one.
#[expect(clippy::disallowed_methods, reason = "the one place")]
#[must_use]
pub fn rfc3339_of(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_written() {
        let day = Duration::from_secs(86_400);
        for (time, expected) in [
            (UNIX_EPOCH - day, "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + day, "1970-01-02T00:00:00.000Z"),
            (
                UNIX_EPOCH + Duration::from_secs(LAST_SECOND) + day,
                "9999-12-31T23:59:59.000Z",
            ),
        ] {
            assert_eq!(rfc3339_of(time), expected);
        }
    }
}
