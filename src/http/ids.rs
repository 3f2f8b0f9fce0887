//! Generated IDs of requests, responses and jobs.

use crate::types::ids::new_uuid;

/// Returns a unique ID that sorts by time: `prefix_` and a UUID of version 7.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", new_uuid().simple())
}
