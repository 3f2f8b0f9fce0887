//! Callers with waiting jobs that are no longer configured.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::run_queue::CallerName;

/// Longest time for which a caller must be missing from the configuration before its old jobs are cancelled: time to notice that
/// it was removed by mistake.
const MAX_ABSENCE: Duration = Duration::from_secs(3600);

/// Callers that are not configured, and since when this process knows.
#[derive(Debug, Default)]
pub struct AbsentCallers(HashMap<CallerName, Instant>);

impl AbsentCallers {
    /// Records which of the callers are not configured. Returns those that have not been for `retention`, or for an hour if that is
    /// shorter.
    pub fn update<'a>(
        &mut self,
        callers: impl Iterator<Item = &'a CallerName>,
        is_configured: impl Fn(&str) -> bool,
        retention: Duration,
    ) -> Vec<CallerName> {
        let absent: HashSet<_> = callers.filter(|caller| !is_configured(caller)).collect();
        self.0.retain(|caller, _| absent.contains(caller));
        for caller in absent {
            self.0.entry(caller.clone()).or_insert_with(Instant::now);
        }
        let longest = retention.min(MAX_ABSENCE);
        let overdue = self
            .0
            .iter()
            .filter(|(_, since)| since.elapsed() >= longest);
        overdue.map(|(caller, _)| caller.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_overdue_once_it_was_missing_for_the_retention_without_a_break() {
        let callers = ["alice", "bob"].map(CallerName::from);
        let mut absent = AbsentCallers::default();
        let mut update = |configured: &[&str], retention| {
            absent.update(
                callers.iter(),
                |caller| configured.contains(&caller),
                retention,
            )
        };
        let minute = Duration::from_secs(60);
        assert!(update(&["alice"], minute).is_empty());
        tokio::time::advance(minute).await;
        assert_eq!(update(&["alice"], minute), ["bob"]);
        assert!(update(&["alice", "bob"], minute).is_empty(), "it is back");
        assert!(update(&["alice"], minute).is_empty(), "it is missing again");
        tokio::time::advance(MAX_ABSENCE).await;
        assert_eq!(update(&["alice"], Duration::MAX), ["bob"], "an hour");
    }
}
