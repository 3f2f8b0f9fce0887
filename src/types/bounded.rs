//! Integers with a range that is checked during deserialization.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Whole number from `MIN` to `MAX`, both inclusive. Deserializing another value fails with the range in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// Returns the number. `None`: `value` is outside the range.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value < MIN || value > MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeVisitor<const MIN: u64, const MAX: u64>;

        impl<const MIN: u64, const MAX: u64> Visitor<'_> for RangeVisitor<MIN, MAX> {
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
                let out_of_range = || E::invalid_value(de::Unexpected::Signed(value), &self);
                u64::try_from(value)
                    .ok()
                    .and_then(Bounded::new)
                    .ok_or_else(out_of_range)
            }
        }

        deserializer.deserialize_u64(RangeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_the_range_is_rejected_with_the_range() {
        type Attempts = Bounded<1, 10>;
        assert_eq!(serde_json::from_str::<Attempts>("10").unwrap().get(), 10);
        for invalid in ["0", "11", "-1", "1.5", "\"3\""] {
            let error = serde_json::from_str::<Attempts>(invalid)
                .unwrap_err()
                .to_string();
            assert!(error.contains("a whole number from 1 to 10"), "{error}");
        }
    }
}
