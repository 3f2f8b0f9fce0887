//! What of JSON Schema a provider's mode takes, and a schema in that form.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Mode;

/// What one mode of a provider takes of JSON Schema. A table, with its source where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Subset {
    /// The root has to be an object: any other value is asked for as the one member `value` of one.
    pub object_root: bool,
}

impl Subset {
    /// All of JSON Schema: it stands in the prompt, and nothing reads it but the model.
    pub const WHOLE: Self = Self { object_root: false };
    /// The same, where the answer is always an object.
    pub const OBJECT: Self = Self { object_root: true };
}

/// A schema in the form in which a mode takes it.
#[derive(Debug)]
pub struct Asked {
    /// Compact JSON.
    pub raw: Box<RawValue>,
    /// Whether the provider may be told to hold the answer to it strictly.
    pub strict: bool,
    /// The value is asked for as the one member `value` of an object.
    pub wrapped: bool,
}

/// A schema in the form of each mode of a provider.
#[derive(Debug, Clone, Default)]
pub struct Forms([Option<Arc<Asked>>; Mode::COUNT]);

impl Forms {
    /// `None`: this mode takes no form of the schema.
    #[must_use]
    pub fn of(&self, mode: Mode) -> Option<&Arc<Asked>> {
        self.0.get(mode as usize)?.as_ref()
    }

    pub fn set(&mut self, mode: Mode, asked: Arc<Asked>) {
        if let Some(form) = self.0.get_mut(mode as usize) {
            *form = Some(asked);
        }
    }
}
