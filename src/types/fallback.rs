//! Conditions under which an item goes from its model to the fallback.

use serde::{Deserialize, Deserializer};

use super::choice::Choice;

/// Reason why a model cannot answer for an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FallbackCondition {
    /// The provider cannot be reached, fails after all retries, is rate limited, or refuses the key.
    Unavailable,
    /// The provider does not know the model.
    UnknownModel,
    /// The input is too long for the model.
    TooLong,
    /// No answer is valid, or complete, in the last attempt.
    Invalid,
    /// The provider rejects the call for another reason.
    Rejected,
    /// The model declines to answer.
    Refused,
}

impl FallbackCondition {
    /// All conditions with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("unavailable", Self::Unavailable),
        ("unknown_model", Self::UnknownModel),
        ("too_long", Self::TooLong),
        ("invalid", Self::Invalid),
        ("rejected", Self::Rejected),
        ("refused", Self::Refused),
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Set of conditions. Default: all but `refused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackOn(u8);

impl Default for FallbackOn {
    fn default() -> Self {
        let all = FallbackCondition::ALL.into_iter().map(|(_, each)| each);
        all.filter(|each| *each != FallbackCondition::Refused)
            .collect()
    }
}

impl FallbackOn {
    /// Returns true if the set has a condition.
    #[must_use]
    pub const fn has(self, condition: FallbackCondition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Returns the set as a number, for the identity of a request.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl FromIterator<FallbackCondition> for FallbackOn {
    fn from_iter<I: IntoIterator<Item = FallbackCondition>>(conditions: I) -> Self {
        let bits = conditions
            .into_iter()
            .fold(0, |bits, condition| bits | condition.bit());
        Self(bits)
    }
}

impl<'de> Deserialize<'de> for FallbackOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let conditions = Vec::<Choice<FallbackCondition>>::deserialize(deserializer)?;
        Ok(conditions.into_iter().map(|Choice(each)| each).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_all_but_refused() {
        for (name, condition) in FallbackCondition::ALL {
            assert_eq!(FallbackOn::default().has(condition), name != "refused");
            let alone: FallbackOn = serde_json::from_str(&format!("[\"{name}\"]")).unwrap();
            let has = FallbackCondition::ALL.map(|(_, each)| alone.has(each));
            assert_eq!(has.iter().filter(|has| **has).count(), 1);
            assert!(alone.has(condition));
        }
        let none: FallbackOn = serde_json::from_str("[]").unwrap();
        assert_eq!(none.bits(), 0);
    }
}
