//! Evidence: what a request asks for, and the number of values by status.

use serde::{Deserialize, Serialize};

pub use ::evidence::{LeafEvidence, OffsetUnit, Status as EvidenceStatus, convert_offsets};

/// Handling of values that the text does not state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grounding {
    /// Results have no evidence.
    #[default]
    Off,
    /// Results have the evidence of each value.
    Report,
    /// As `report`, and absent values are removed where the schema allows it.
    Drop,
    /// As `report`, and an answer with an absent value is invalid: a validation retry asks for null or absence.
    Require,
}

impl Grounding {
    /// Returns true if results have evidence.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// Returns true if the value in a result may differ from the model's answer, or may be rejected for its evidence.
    #[must_use]
    pub fn changes_answers(self) -> bool {
        matches!(self, Self::Drop | Self::Require)
    }
}

/// Number of values by status of their evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvidenceCounts {
    /// Values that stand in their texts character by character.
    pub exact: u64,
    /// Values that stand in their texts in another form.
    pub normalized: u64,
    /// Values most of whose words stand in their texts.
    pub fuzzy: u64,
    /// Booleans, enums and constants that their texts do not name.
    pub derived: u64,
    /// Values that their texts do not state.
    pub absent: u64,
}

impl EvidenceCounts {
    /// Counts the values of a result.
    #[must_use]
    pub fn count(evidence: &[LeafEvidence]) -> Self {
        let mut counts = Self::default();
        for leaf in evidence {
            *counts.of_status(leaf.status) += 1;
        }
        counts
    }

    /// Returns each status with its number of values.
    #[must_use]
    pub const fn by_status(self) -> [(&'static str, u64); 5] {
        [
            ("exact", self.exact),
            ("normalized", self.normalized),
            ("fuzzy", self.fuzzy),
            ("derived", self.derived),
            ("absent", self.absent),
        ]
    }

    const fn of_status(&mut self, status: EvidenceStatus) -> &mut u64 {
        match status {
            EvidenceStatus::Exact => &mut self.exact,
            EvidenceStatus::Normalized => &mut self.normalized,
            EvidenceStatus::Fuzzy => &mut self.fuzzy,
            EvidenceStatus::Derived => &mut self.derived,
            EvidenceStatus::Absent => &mut self.absent,
        }
    }
}

impl std::ops::AddAssign for EvidenceCounts {
    fn add_assign(&mut self, other: Self) {
        self.exact += other.exact;
        self.normalized += other.normalized;
        self.fuzzy += other.fuzzy;
        self.derived += other.derived;
        self.absent += other.absent;
    }
}

/// Returns the unit of offsets with this name.
#[must_use]
pub fn offset_unit(name: &str) -> Option<OffsetUnit> {
    match name {
        "code_point" => Some(OffsetUnit::CodePoint),
        "utf16" => Some(OffsetUnit::Utf16),
        "byte" => Some(OffsetUnit::Byte),
        _ => None,
    }
}
