//! Section `[limits]`: concurrency, queue and memory limits of the whole process.

use std::{num::NonZeroU32, time::Duration};

use super::{
    error::Error,
    parsers::{concurrency, integer, memory_range, millis, queue},
    section::Section,
    setting::Origin,
};

/// Limits of the whole process. A provider's rate limits are in its own section.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `max_concurrency`: maximum number of calls in flight, over all callers and providers. 1 to
    /// 100,000, default 64.
    pub max_concurrency: NonZeroU32,
    /// `max_queue`: maximum number of items that wait in the queue; a batch counts only with its
    /// window. 1 to 10,000,000, default 100,000.
    pub max_queue: NonZeroU32,
    /// `max_queue_bytes`: maximum memory for request bodies, over all requests. 1 KiB to 1 TiB,
    /// default 1 GiB; at least `server.max_body_bytes`.
    pub max_queue_bytes: usize,
    /// `max_memory_bytes`: memory of the process without the built-in model: what requests hold (bodies with the values parsed from
    /// them, inputs in progress, ordered results that wait to be sent, compiled schemas), the result cache, and 96 MiB and an
    /// eighth for the program itself and the allocator's spare pages (half of a budget below 256 MiB). 16 MiB to 1 TiB. `None`: half of the memory of the machine or its control group.
    pub max_memory_bytes: Option<usize>,
    /// `max_ordered_bytes`: maximum memory for one ordered batch response until it is complete. 1
    /// KiB to 1 TiB, default 256 MiB.
    pub max_ordered_bytes: usize,
    /// `max_wait_ms`: maximum total time that the item of a single request waits for provider keys
    /// paused after a 429. 0 to 3,600,000 ms, default 60,000.
    pub max_wait: Duration,
    /// `max_batch_wait_ms`: the same limit for an item of a batch. 0 to 86,400,000 ms, default
    /// 600,000.
    pub max_batch_wait: Duration,
}

impl Limits {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
        let limits = Self {
            max_concurrency: section.get("max_concurrency", 64, concurrency)?,
            max_queue: section.get("max_queue", 100_000, queue)?,
            max_queue_bytes: section.get("max_queue_bytes", 1 << 30, integer(memory_range()))?,
            max_memory_bytes: section.find("max_memory_bytes", integer(16 << 20..=1 << 40))?,
            max_ordered_bytes: section.get(
                "max_ordered_bytes",
                256 << 20,
                integer(memory_range()),
            )?,
            max_wait: section.get("max_wait_ms", 60_000, millis(0..=3_600_000))?,
            max_batch_wait: section.get("max_batch_wait_ms", 600_000, millis(0..=86_400_000))?,
        };
        section.finish()?;
        Ok(limits)
    }

    /// Rejects a `max_queue_bytes` that is smaller than the largest allowed body, which could then
    /// never be admitted.
    pub(super) fn check_room(&self, max_body_bytes: usize, origin: &Origin) -> Result<(), Error> {
        let room = self.max_queue_bytes;
        if room >= max_body_bytes {
            return Ok(());
        }
        let message = format!(
            "`limits.max_queue_bytes` is {room}, less than `server.max_body_bytes`, {max_body_bytes}: a body of that size \
             would never be admitted; raise the one or lower the other"
        );
        Err(Error::new(origin, message))
    }
}
