//! Waits with a limit.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than any single answer of a healthy server takes in these tests.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits for `future`; fails the test with `what` after `limit`.
#[track_caller]
pub fn within<T>(
    limit: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(limit, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: not within {limit:?}: {what}"),
        }
    }
}

/// Asks again and again until `question` gives an answer; fails the test with `what` after `limit`.
#[track_caller]
pub fn eventually<T>(
    limit: Duration,
    what: &str,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    within(limit, what, async move {
        loop {
            if let Some(value) = question().await {
                return value;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
}
