//! Times of a stop, which together are its grace.

use std::time::Duration;

/// Shortest grace of which a part is for closing. A shorter one is for the work, and closing follows it.
const MIN_DIVIDED: Duration = Duration::from_secs(10);
/// Maximum time for closing.
const MAX_CLOSING: Duration = Duration::from_secs(8);

/// Times of the parts of a stop, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopTimes {
    /// Time in which work may finish.
    pub work: Duration,
    /// Time in which aborted work may send its last error, and again in which open connections may close.
    pub close: Duration,
    /// Time in which the job store copies its log into its file, and the last traces are sent.
    pub store: Duration,
}

impl StopTimes {
    /// Divides the grace that an orchestrator waits, so that the process ends within it.
    pub fn of_grace(grace: Duration) -> Self {
        let (work, closing) = if grace < MIN_DIVIDED {
            (grace, MAX_CLOSING)
        } else {
            let closing = (grace / 4).min(MAX_CLOSING);
            (grace.saturating_sub(closing), closing)
        };
        Self {
            work,
            close: closing * 3 / 16,
            store: closing * 5 / 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_takes_no_longer_than_its_grace() {
        for seconds in [10, 24, 30, 32, 33, 60, 3_600] {
            let grace = Duration::from_secs(seconds);
            let times = StopTimes::of_grace(grace);
            // Work that is aborted, connections that are still open, and the store.
            assert!(
                times.work + times.close * 2 + times.store <= grace,
                "{times:?}"
            );
            assert!(times.work * 4 >= grace * 3, "{times:?}");
        }
    }

    #[test]
    fn closing_takes_no_part_of_a_short_grace() {
        for seconds in [0, 1, 9] {
            let work = Duration::from_secs(seconds);
            let (close, store) = (Duration::from_millis(1_500), Duration::from_secs(5));
            let times = StopTimes { work, close, store };
            assert_eq!(StopTimes::of_grace(work), times);
        }
    }
}
