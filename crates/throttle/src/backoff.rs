//! Backoff: the time between a failed call and its retry.

use std::time::Duration;

/// First step of the backoff, as in openai-python's `INITIAL_RETRY_DELAY`.
const BASE: Duration = Duration::from_millis(500);
/// Longest step, as in openai-python's `MAX_RETRY_DELAY`.
const CAP: Duration = Duration::from_secs(8);

/// Returns the delay before a retry: exponential with full jitter, between zero and the step of the
/// `failed`th failure (from 1). What the provider asked for is a minimum, to which up to a tenth is
/// added.
///
/// `random` is from 0 to 1.
#[must_use]
pub fn delay(failed: u32, asked: Option<Duration>, random: f64) -> Duration {
    match asked {
        Some(asked) => asked + asked.mul_f64(0.1 * random),
        None => step(failed).mul_f64(random),
    }
}

/// Returns the pause of a key whose provider answered 429 without a time, for the `nth` time in a
/// row (from 1).
#[must_use]
pub fn pause(nth: u32) -> Duration {
    step(nth)
}

fn step(nth: u32) -> Duration {
    BASE.saturating_mul(2_u32.saturating_pow(nth.saturating_sub(1)))
        .min(CAP)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_delay_is_within_its_bounds(failed in 1_u32..100, random in 0.0..=1.0_f64, asked_ms in proptest::option::of(0_u64..100_000)) {
            let asked = asked_ms.map(Duration::from_millis);
            let delay = delay(failed, asked, random);
            match asked {
                Some(asked) => prop_assert!(delay >= asked && delay <= asked.mul_f64(1.1) + Duration::from_nanos(1)),
                None => prop_assert!(delay <= CAP),
            }
        }
    }

    #[test]
    fn steps_double_to_the_cap() {
        let steps: Vec<_> = (1..8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(steps, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }
}
