//! A number that cannot be out of its range.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A whole number from `MIN` to `MAX`, both included. Reading one that is outside says what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// `None` when `value` is outside the range.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value < MIN || value > MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<const MIN: u64, const MAX: u64>;

        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
            type Value = Bounded<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match MAX {
                    u64::MAX => write!(f, "a whole number of at least {MIN}"),
                    _ => write!(f, "a whole number from {MIN} to {MAX}"),
                }
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Bounded::new(value)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                let refused = || E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value)
                    .ok()
                    .and_then(Bounded::new)
                    .ok_or_else(refused)
            }
        }

        deserializer.deserialize_u64(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_is_refused_with_the_range() {
        type Attempts = Bounded<1, 10>;
        assert_eq!(serde_json::from_str::<Attempts>("10").unwrap().get(), 10);
        for wrong in ["0", "11", "-1", "1.5", "\"3\""] {
            let error = serde_json::from_str::<Attempts>(wrong)
                .unwrap_err()
                .to_string();
            assert!(error.contains("a whole number from 1 to 10"), "{error}");
        }
    }
}
