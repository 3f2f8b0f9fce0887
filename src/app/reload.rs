//! Reload of files that may change while the server runs.

use std::time::Duration;

/// Interval at which a file is read.
///
/// Contents are compared, so that every kind of replacement is noticed (a rename, a switched
/// volume). A change is applied once two successive reads agree: a file that is being written may
/// be valid at any line.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Calls `apply` with each new result of `read`, which runs on a blocking thread. The flag is true for the first result, which
/// repeats what was read at the start.
pub async fn watch<T: PartialEq + Send + 'static>(
    read: impl Fn() -> T + Clone + Send + 'static,
    mut apply: impl FnMut(&T, bool),
) {
    let mut tick = tokio::time::interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut applied, mut previous) = (None, None);
    loop {
        tick.tick().await;
        let Ok(now) = tokio::task::spawn_blocking(read.clone()).await else {
            continue;
        };
        if applied.as_ref() == Some(&now) || previous.as_ref() != Some(&now) {
            previous = Some(now);
            continue;
        }
        apply(&now, applied.is_none());
        applied = Some(now);
    }
}
