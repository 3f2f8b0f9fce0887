//! The wall clock, read in this module only; everything else takes the time as an argument or uses `Instant`.

use std::time::SystemTime;

/// Returns the current wall-clock time.
#[expect(clippy::disallowed_methods, reason = "the one place")]
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}
