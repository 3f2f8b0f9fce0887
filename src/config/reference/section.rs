//! Tables and keys of the configuration, as the reference describes them.

/// A table of the configuration file with its keys.
pub struct SectionReference {
    /// Header as in a file, with `NAME` for a name of the user's choice; empty for the top level.
    pub header: &'static str,
    /// Purpose of the table, in one sentence.
    pub description: &'static str,
    /// Keys, in the order in which they are read.
    pub keys: &'static [KeyReference],
}

/// One key of the configuration.
pub struct KeyReference {
    pub name: &'static str,
    /// Default as TOML; empty for a key without a fixed default.
    pub default: &'static str,
    /// Meaning with unit and range, and the effect of leaving out a key that has no fixed default.
    pub description: &'static str,
}

pub(super) const fn key(
    name: &'static str,
    default: &'static str,
    description: &'static str,
) -> KeyReference {
    KeyReference {
        name,
        default,
        description,
    }
}
