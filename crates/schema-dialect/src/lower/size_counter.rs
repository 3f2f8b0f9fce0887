//! Size of a lowered schema, in the units of a dialect's limits.

use crate::dialect::Limits;

/// Counts that a dialect limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct SizeCounter {
    pub parts: usize,
    /// Names, texts and values of the schemas that were copied or looked through, in bytes.
    pub copied_bytes: usize,
    pub properties: usize,
    pub enum_values: usize,
    pub characters: usize,
    pub optional: usize,
    pub unions: usize,
    /// Objects that may have members beside their properties, and parts of any type.
    pub open: usize,
}

impl SizeCounter {
    pub const fn is_within(&self, limits: &Limits) -> bool {
        self.properties <= limits.properties
            && self.enum_values <= limits.enum_values
            && self.characters <= limits.characters
            && self.optional <= limits.optional
            && self.unions <= limits.unions
    }
}
