//! Money: prices of tokens and sums of costs, exact over millions of items.

use serde::{Serialize, Serializer};

use crate::types::TokenUsage;

/// An amount of US dollars in whole picodollars (10⁻¹² dollars). The price of one token is a whole number of them, so sums
/// over millions of items are exact. Sums saturate at 18 million dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Usd(pub u64);

impl Usd {
    const PER_DOLLAR: f64 = 1e12;

    /// Returns the amount, or `None` if `dollars` is negative or not finite.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, not negative, and saturating"
    )]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (dollars.is_finite() && dollars >= 0.0)
            .then(|| Self((dollars * Self::PER_DOLLAR).round() as u64))
    }

    /// Returns the amount in dollars, rounded.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "for display; exact up to nine thousand dollars"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / Self::PER_DOLLAR
    }

    /// Returns the sum, at most the largest amount.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

/// Price of a model's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// Price of one input token.
    pub input: Usd,
    /// Price of one output token.
    pub output: Usd,
}

impl Price {
    /// Returns the cost of a call with this usage.
    #[must_use]
    pub const fn cost(self, usage: TokenUsage) -> Usd {
        let input = self.input.0.saturating_mul(usage.input);
        Usd(input.saturating_add(self.output.0.saturating_mul(usage.output)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_over_millions_of_tokens() {
        let per_million = |dollars: f64| Usd::from_dollars(dollars / 1e6).unwrap();
        let price = Price {
            input: per_million(0.15),
            output: per_million(0.6),
        };
        assert!(
            (price
                .cost(TokenUsage {
                    input: 10_000_000,
                    output: 1_000_000
                })
                .dollars()
                - 2.1)
                .abs()
                < 1e-12
        );
        assert_eq!(Usd::from_dollars(-1.0), None);
        assert_eq!(Usd::from_dollars(f64::NAN), None);
    }
}
