//! Section `[schemas]`: schemas that are registered over HTTP.

use super::{
    error::Error,
    parsers::{boolean, integer, memory_range},
    section::Section,
};

/// Settings of the registered schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schemas {
    /// `shared`: true if all callers see and change the same schemas. Default false: each has its own.
    pub shared: bool,
    /// `max_per_caller`: maximum number of schemas of a caller. 1 to 1,000,000, default 1,000.
    pub max_per_caller: usize,
    /// `max_bytes_per_caller`: maximum size of a caller's schemas together. 1 KiB to 1 TiB, default
    /// 16 MiB.
    pub max_bytes_per_caller: usize,
}

impl Schemas {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
        let schemas = Self {
            shared: section.get("shared", false, boolean)?,
            max_per_caller: section.get("max_per_caller", 1000, integer(1..=1_000_000))?,
            max_bytes_per_caller: section.get(
                "max_bytes_per_caller",
                16 << 20,
                integer(memory_range()),
            )?,
        };
        section.finish()?;
        Ok(schemas)
    }
}
