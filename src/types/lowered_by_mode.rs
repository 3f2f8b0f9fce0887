//! Lowered forms of a schema for the modes of a provider.

use std::sync::Arc;

use schema_dialect::LoweredSchema;

use super::spec::Mode;

/// Schema lowered for each mode of a provider.
#[derive(Debug, Clone, Default)]
pub struct LoweredByMode([Option<Arc<LoweredSchema>>; Mode::COUNT]);

impl LoweredByMode {
    /// Returns the lowered schema of a mode. `None`: the schema cannot be lowered for it.
    #[must_use]
    pub fn for_mode(&self, mode: Mode) -> Option<&Arc<LoweredSchema>> {
        self.0.get(mode as usize)?.as_ref()
    }

    /// Sets the lowered schema of a mode.
    pub fn set(&mut self, mode: Mode, lowered: Arc<LoweredSchema>) {
        if let Some(entry) = self.0.get_mut(mode as usize) {
            *entry = Some(lowered);
        }
    }
}
