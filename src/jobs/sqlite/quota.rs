//! Limits of what callers may store. The store keeps the number and bytes of each caller's jobs in the table `callers`, which
//! triggers maintain.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::to_sqlite;
use super::queries;
use crate::jobs::store::{JobKey, StorageQuota, StoreError};

/// Bytes that an input counts beside its own: its rows and those of its result with their index entries, and the shortest result, that
/// of an input that fails without a call (about 350 bytes).
const INPUT_BYTES: u64 = 512;

/// Limits of the stored jobs. Running jobs go on whatever they store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Maximum number of stored jobs of one caller.
    pub max_jobs_per_caller: u64,
    /// Maximum bytes of specs, metadata, inputs (each with 512 bytes for its rows) and events of one caller's jobs.
    pub max_bytes_per_caller: u64,
    /// Maximum bytes of the same of all jobs.
    pub max_bytes: u64,
}

/// No limit.
impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            max_jobs_per_caller: u64::MAX,
            max_bytes_per_caller: u64::MAX,
            max_bytes: u64::MAX,
        }
    }
}

impl StorageLimits {
    /// Checks that a caller may store one more job.
    ///
    /// # Errors
    /// [`StoreError::Quota`].
    pub fn check_new_job(&self, connection: &Connection, caller: &str) -> rusqlite::Result<()> {
        let sql = "SELECT jobs FROM callers WHERE name = ?1";
        let jobs = connection
            .prepare_cached(sql)?
            .query_row([caller], |row| row.get(0))
            .optional()?;
        let max = self.max_jobs_per_caller;
        if unsigned(jobs) >= max {
            return Err(exceeded(StorageQuota::Jobs { max }));
        }
        self.check_bytes(connection, caller, 0)
    }

    /// Checks that the caller of a job may store `bytes` more.
    ///
    /// # Errors
    /// [`StoreError::Quota`].
    pub fn check_more(
        &self,
        connection: &Connection,
        job: JobKey,
        bytes: u64,
    ) -> rusqlite::Result<()> {
        let caller = queries::caller(connection, job)?;
        self.check_bytes(connection, &caller.unwrap_or_default(), bytes)
    }

    fn check_bytes(
        &self,
        connection: &Connection,
        caller: &str,
        more: u64,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT sum(bytes), sum(iif(name = ?1, bytes, 0)) FROM callers";
        let (of_all, of_caller) = connection
            .prepare_cached(sql)?
            .query_row([caller], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let max = self.max_bytes_per_caller;
        if unsigned(of_caller).saturating_add(more) > max {
            return Err(exceeded(StorageQuota::Bytes { max }));
        }
        let max = self.max_bytes;
        if unsigned(of_all).saturating_add(more) > max {
            return Err(exceeded(StorageQuota::AllBytes { max }));
        }
        Ok(())
    }
}

/// Adds to the stored bytes of a job.
pub fn add_bytes(connection: &Connection, job: JobKey, bytes: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE jobs SET stored_bytes = stored_bytes + ?2 WHERE key = ?1";
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    connection
        .prepare_cached(sql)?
        .execute(params![job.0, bytes])
        .map(drop)
}

/// Returns the bytes that inputs count: their own, and [`INPUT_BYTES`] each.
pub fn inputs_bytes(inputs: &[Vec<u8>]) -> u64 {
    total_len(inputs) + INPUT_BYTES * inputs.len() as u64
}

/// Returns the sum of the lengths.
pub fn total_len<'a>(bodies: impl IntoIterator<Item = &'a Vec<u8>>) -> u64 {
    bodies.into_iter().map(|body| body.len() as u64).sum()
}

fn unsigned(number: Option<i64>) -> u64 {
    number.map_or(0, |number| u64::try_from(number).unwrap_or(0))
}

fn exceeded(quota: StorageQuota) -> rusqlite::Error {
    to_sqlite(StoreError::Quota(quota))
}
