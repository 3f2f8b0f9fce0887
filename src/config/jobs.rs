//! `[jobs]`: durable jobs. They are kept in `data_dir`.

use std::{num::NonZeroU32, time::Duration};

use super::{
    error::Error,
    parsers::{boolean, count, millis},
    section::Section,
};

/// How long jobs are kept, how many run, and where they may report to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs {
    /// `retention_ms`: how long a job that has ended is kept. 1,000 to 315,360,000,000 ms (ten years), default 2,592,000,000
    /// (30 days).
    pub retention: Duration,
    /// `link_ttl_ms`: how long a signed link to a job's events holds. 1,000 to 604,800,000 ms (a week), default 3,600,000
    /// (an hour).
    pub link_ttl: Duration,
    /// `max_running_per_caller`: jobs of one caller that run at a time; the others wait. 1 to 1,000, default 8.
    pub max_running_per_caller: NonZeroU32,
    /// `allow_private_webhooks`: whether a webhook may lead to an address that is not public: this machine's, a private network's.
    /// Default false.
    pub allow_private_webhooks: bool,
}

impl Jobs {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, Error> {
        let jobs = Self {
            retention: section.get(
                "retention_ms",
                2_592_000_000_i64,
                millis(1000..=315_360_000_000),
            )?,
            link_ttl: section.get("link_ttl_ms", 3_600_000, millis(1000..=604_800_000))?,
            max_running_per_caller: section.get("max_running_per_caller", 8, count(1000))?,
            allow_private_webhooks: section.get("allow_private_webhooks", false, boolean)?,
        };
        section.finish()?;
        Ok(jobs)
    }
}
