//! Generated IDs.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

use super::clock;

/// Returns a unique ID that sorts by time: a UUID of version 7.
#[must_use]
pub fn new_uuid() -> Uuid {
    uuid_at(clock::now())
}

/// Returns a UUID of version 7. A clock before 1970, which a device without a battery has, counts as 1970.
#[expect(clippy::disallowed_methods, reason = "the one place")]
fn uuid_at(now: SystemTime) -> Uuid {
    if now >= UNIX_EPOCH {
        return Uuid::now_v7();
    }
    Uuid::new_v7(Timestamp::from_unix(NoContext, 0, 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_gives_different_ids_too() {
        let before = UNIX_EPOCH - Duration::from_secs(86_400);
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| uuid_at(before)).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
