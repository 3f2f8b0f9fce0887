//! Generated IDs of requests, responses and jobs.

/// Returns a unique ID that sorts by time: `prefix_` and a UUID of version 7.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}
