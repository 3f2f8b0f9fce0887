//! Section `[jobs]`: settings of durable jobs, which are stored in `data_dir`.

use std::{num::NonZeroU32, time::Duration};

use super::{
    error::Error,
    parsers::{boolean, count, integer, millis},
    section::Section,
};

/// Settings of durable jobs: retention, concurrency, event links and webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs {
    /// `retention_ms`: time that a finished job is kept. 1,000 to 315,360,000,000 ms (ten years),
    /// default 2,592,000,000 (30 days).
    pub retention: Duration,
    /// `link_ttl_ms`: validity of the signed link to a job's events. 1,000 to 604,800,000 ms (a
    /// week), default 3,600,000 (an hour).
    pub link_ttl: Duration,
    /// `max_running_per_caller`: maximum number of running jobs of one caller; further jobs wait. 1
    /// to 1,000, default 8.
    pub max_running_per_caller: NonZeroU32,
    /// `max_per_caller`: maximum number of stored jobs of one caller. 1 to 4,294,967,295, default
    /// 100,000.
    pub max_per_caller: NonZeroU32,
    /// `max_bytes_per_caller`: maximum bytes of the stored jobs of one caller: specs,
    /// metadata, inputs and events. From 1, default 10 GiB.
    pub max_bytes_per_caller: u64,
    /// `max_stored_bytes`: maximum bytes of all stored jobs. From 1, default 50 GiB.
    pub max_stored_bytes: u64,
    /// `allow_private_webhooks`: true allows webhook URLs with private or loopback addresses.
    /// Default false.
    pub allow_private_webhooks: bool,
}

impl Jobs {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
        let jobs = Self {
            retention: section.get(
                "retention_ms",
                2_592_000_000_i64,
                millis(1000..=315_360_000_000),
            )?,
            link_ttl: section.get("link_ttl_ms", 3_600_000, millis(1000..=604_800_000))?,
            max_running_per_caller: section.get("max_running_per_caller", 8, count(1000))?,
            max_per_caller: section.get("max_per_caller", 100_000, count(u32::MAX))?,
            max_bytes_per_caller: section.get(
                "max_bytes_per_caller",
                10_737_418_240_i64,
                integer(1..=i64::MAX.unsigned_abs()),
            )?,
            max_stored_bytes: section.get(
                "max_stored_bytes",
                53_687_091_200_i64,
                integer(1..=i64::MAX.unsigned_abs()),
            )?,
            allow_private_webhooks: section.get("allow_private_webhooks", false, boolean)?,
        };
        section.finish()?;
        Ok(jobs)
    }
}
