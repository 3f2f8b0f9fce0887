//! Trial: the first calls to a model. Few go out before one of them was answered, so that a wrong key or name costs
//! few calls. Time is an argument.

use std::time::{Duration, Instant};

/// Number of calls that go out before the first answer.
const MAX_CALLS: u32 = 4;
/// Time after the first call from which more calls go out. A refusal comes within it; an answer of a model may take longer.
const PERIOD: Duration = Duration::from_millis(250);

/// State of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trial {
    /// No call has gone out.
    #[default]
    Untried,
    /// Calls have gone out, and none was answered.
    Started {
        /// Time of the first call.
        at: Instant,
        /// Number of calls so far.
        calls: u32,
    },
    /// A call was answered, or the trial is over.
    Passed,
}

impl Trial {
    /// Returns the time until which no further call may go out; `None`: it may go out now.
    pub fn closed_until(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Started { at, calls } if calls >= MAX_CALLS => {
                Some(at + PERIOD).filter(|until| *until > now)
            }
            Self::Untried | Self::Started { .. } | Self::Passed => None,
        }
    }

    /// Records that a call goes out.
    pub fn record_call(&mut self, now: Instant) {
        *self = match *self {
            Self::Untried => Self::Started { at: now, calls: 1 },
            Self::Started { at, .. } if at + PERIOD <= now => Self::Passed,
            Self::Started { at, calls } => Self::Started {
                at,
                calls: calls + 1,
            },
            Self::Passed => Self::Passed,
        };
    }

    /// Ends the trial. Returns true if it was not over.
    pub fn pass(&mut self) -> bool {
        std::mem::replace(self, Self::Passed) != Self::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_calls_go_out_until_one_was_answered_or_the_period_is_over() {
        let start = Instant::now();
        let mut trial = Trial::default();
        for _ in 0..MAX_CALLS {
            assert_eq!(trial.closed_until(start), None);
            trial.record_call(start);
        }
        assert_eq!(trial.closed_until(start), Some(start + PERIOD));
        let mut slow = trial;
        assert_eq!(slow.closed_until(start + PERIOD), None);
        slow.record_call(start + PERIOD);
        assert_eq!(slow, Trial::Passed);
        assert!(trial.pass() && !trial.pass());
        assert_eq!(trial.closed_until(start), None);
    }
}
