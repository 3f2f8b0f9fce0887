//! Definitions of a lowered schema: the targets of references.

/// Target of a reference, written once under `$defs` or being unrolled.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Index of its mapping.
    pub index: usize,
    /// Name under `$defs`.
    pub name: String,
    /// True if null is a valid value.
    pub null: bool,
    pub state: DefinitionState,
}

/// Progress of writing a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionState {
    /// In progress: the current node is within it.
    Begun,
    Done,
    /// No value is valid.
    Never,
}
