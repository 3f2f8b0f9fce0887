//! Shape of a request: output mode, streaming, and the features that the server does not support.

use crate::types::Mode;

/// Variant of a request: output mode, streaming, and the features to omit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestShape {
    /// Output mode; never `Auto`.
    pub mode: Mode,
    /// True if the response is to be streamed.
    pub stream: bool,
    /// Features that the server is known not to support.
    pub unsupported: UnsupportedSet,
    /// Output token limit that fits into the model's context beside this input, for APIs that need one; `None`: the model's
    /// maximum.
    pub output_limit: Option<u32>,
}

/// Feature of a request that a server does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// The output mode, with any schema.
    Mode,
    /// This schema in this mode; other schemas may be supported.
    Schema,
    Temperature,
    Seed,
    /// The output token limit: the name of its field, or its size.
    OutputLimit,
    /// Usage at the end of a stream (`stream_options`).
    StreamUsage,
    /// Streaming.
    Stream,
    /// Messages of the system role: the system prompt becomes part of the first user message.
    SystemRole,
}

/// Set of unsupported features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnsupportedSet(u8);

impl Unsupported {
    /// Returns the feature's name in metrics, logs and the list of models.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Schema => "schema",
            Self::Temperature => "temperature",
            Self::Seed => "seed",
            Self::OutputLimit => "output_limit",
            Self::StreamUsage => "stream_usage",
            Self::Stream => "stream",
            Self::SystemRole => "system_role",
        }
    }
}

impl UnsupportedSet {
    /// Returns true if the set contains the feature.
    #[must_use]
    pub const fn has(self, feature: Unsupported) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    /// Adds a feature, and returns true if it is new.
    pub const fn add(&mut self, feature: Unsupported) -> bool {
        let is_new = !self.has(feature);
        self.0 |= 1 << feature as u8;
        is_new
    }
}
