//! Section `[cache]`: settings of the result cache.

use std::time::Duration;

use super::{
    error::Error,
    parsers::{boolean, integer, memory_range, millis},
    section::Section,
};

/// Settings of the result cache, which is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// `max_bytes`: maximum memory of the cache. It is set aside from `limits.max_memory_bytes`; it may take half of what the program
    /// itself leaves. At least 1 KiB. Not set: there is no cache.
    pub max_bytes: usize,
    /// `ttl_ms`: time to live of a result. 1,000 to 2,592,000,000 ms (30 days), default 3,600,000
    /// (an hour).
    pub ttl: Duration,
}

impl Cache {
    /// Reads the section. Returns the cache, `None` if there is none, and `shared`: whether callers
    /// share results.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<(Option<Self>, bool), Error> {
        let is_shared = section.get("shared", false, boolean)?;
        let ttl_set = section.origin_of("ttl_ms");
        let ttl = millis(1000..=2_592_000_000);
        let cache = match section.find("max_bytes", integer(memory_range()))? {
            Some(max_bytes) => Some(Self {
                max_bytes,
                ttl: section.get("ttl_ms", 3_600_000, ttl)?,
            }),
            None if section.find("ttl_ms", ttl)?.is_some() => {
                return Err(section.no_effect("ttl_ms", &ttl_set, "max_bytes"));
            }
            None => None,
        };
        section.finish()?;
        Ok((cache, is_shared))
    }
}
