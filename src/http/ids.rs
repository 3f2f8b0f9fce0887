//! Generated IDs of requests, responses and jobs.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

use crate::types::clock;

/// Returns a unique ID that sorts by time: `prefix_` and a UUID of version 7.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid_at(clock::now()).simple())
}

/// Returns a UUID of version 7. A clock before 1970, which a device without a battery has, counts as 1970.
fn uuid_at(now: SystemTime) -> Uuid {
    if now >= UNIX_EPOCH {
        return Uuid::now_v7();
    }
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    Builder::from_unix_timestamp_millis(0, &random).into_uuid()
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
