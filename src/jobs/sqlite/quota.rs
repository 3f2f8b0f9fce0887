//! Limits of what callers may store. The store keeps the number and bytes of each caller's jobs in the table `callers`, which
//! triggers maintain.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::to_sqlite;
use super::{disk_room, queries};
use crate::jobs::store::{JobKey, StorageQuota, StoreError};

/// Bytes that an input counts beside its own: its rows and those of its result with their index entries, and the shortest result, that
/// of an input that fails without a call (about 350 bytes).
const INPUT_BYTES: u64 = 512;

/// Divisor of what one of several callers leaves to others: its results leave less than its uploads, so that a job ends whose inputs took all
/// that its caller might store.
const RESULTS_DIVISOR: u64 = 4;

/// Limits of the stored jobs. A running job goes on whatever it stores, unless its caller would leave too little to others.
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

/// Limits of the stored jobs at the time of a write.
#[derive(Debug, Clone, Copy)]
pub struct CurrentLimits {
    pub limits: StorageLimits,
    /// True if several callers share the space: one of them stores at most as much as is left for the others.
    pub has_several_callers: bool,
}

impl CurrentLimits {
    /// Checks that a caller may store one more job, and `bytes` for it.
    ///
    /// # Errors
    /// [`StoreError::Quota`].
    pub fn check_new_job(
        &self,
        connection: &Connection,
        caller: &str,
        bytes: u64,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT jobs FROM callers WHERE name = ?1";
        let jobs = connection
            .prepare_cached(sql)?
            .query_row([caller], |row| row.get(0))
            .optional()?;
        let max = self.limits.max_jobs_per_caller;
        if unsigned(jobs) >= max {
            return Err(exceeded(StorageQuota::Jobs { max }));
        }
        self.check_bytes(connection, caller, bytes)
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
        let (own, spaces) = self.stored(connection, caller)?;
        let max = self.limits.max_bytes_per_caller;
        if own.saturating_add(more) > max {
            return Err(exceeded(StorageQuota::Bytes { max }));
        }
        for space in spaces.into_iter().flatten() {
            space
                .check(own, more, self.bytes_to_leave())
                .map_err(exceeded)?;
        }
        Ok(())
    }

    /// Returns the limit by which a job makes no further results for now, because its caller would leave too little room to others. The
    /// only caller may take all.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn of_results(
        &self,
        connection: &Connection,
        job: JobKey,
    ) -> rusqlite::Result<Option<StorageQuota>> {
        let Some(to_leave) = self.bytes_to_leave() else {
            return Ok(None);
        };
        let caller = queries::caller(connection, job)?;
        let (own, spaces) = self.stored(connection, &caller.unwrap_or_default())?;
        let to_leave = Some(to_leave / RESULTS_DIVISOR);
        let mut spaces = spaces.into_iter().flatten();
        let exceeded =
            spaces.find(|space| space.leaves_too_little(own / RESULTS_DIVISOR, to_leave));
        Ok(exceeded.map(|space| space.share))
    }

    /// Returns the bytes that one of several callers leaves at most; `None`: there is one.
    fn bytes_to_leave(&self) -> Option<u64> {
        let to_leave = self.limits.max_bytes_per_caller;
        self.has_several_callers.then_some(to_leave)
    }

    /// Returns the bytes that a caller stores, and the spaces that it shares with others.
    fn stored(
        &self,
        connection: &Connection,
        caller: &str,
    ) -> rusqlite::Result<(u64, [Option<SharedSpace>; 2])> {
        let sql = "SELECT sum(bytes), sum(iif(name = ?1, bytes, 0)) FROM callers";
        let (of_all, own) = connection
            .prepare_cached(sql)?
            .query_row([caller], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let max = self.limits.max_bytes;
        let stored = SharedSpace {
            left: max.saturating_sub(unsigned(of_all)),
            full: StorageQuota::AllBytes { max },
            share: StorageQuota::ShareOfAllBytes { max },
        };
        let disk = disk_room::find(connection)?.map(|left| SharedSpace {
            left,
            full: StorageQuota::Disk,
            share: StorageQuota::ShareOfDisk,
        });
        Ok((unsigned(own), [Some(stored), disk]))
    }
}

/// Space that the jobs of all callers share.
struct SharedSpace {
    /// Bytes that nothing takes.
    left: u64,
    /// Error of a write for which there is no room.
    full: StorageQuota,
    /// Error of a write by which a caller would leave too little to the others.
    share: StorageQuota,
}

impl SharedSpace {
    /// Checks that a caller that stores `own` bytes may store `more`. One of several callers leaves `to_leave` bytes, which is all that
    /// another one may store, or at least as much as it stores itself (a dynamic threshold).
    fn check(mut self, own: u64, more: u64, to_leave: Option<u64>) -> Result<(), StorageQuota> {
        let Some(left) = self.left.checked_sub(more) else {
            return Err(self.full);
        };
        self.left = left;
        if more > 0 && self.leaves_too_little(own.saturating_add(more), to_leave) {
            return Err(self.share);
        }
        Ok(())
    }

    /// Returns true if a caller that stores `own` bytes leaves less than it has to.
    fn leaves_too_little(&self, own: u64, to_leave: Option<u64>) -> bool {
        to_leave.is_some_and(|to_leave| self.left < own.min(to_leave))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a write of one of several callers, each of which may store 1,000 bytes, or of the only one.
    fn check(left: u64, own: u64, more: u64, has_several: bool) -> Result<(), StorageQuota> {
        let space = SharedSpace {
            left,
            full: StorageQuota::Disk,
            share: StorageQuota::ShareOfDisk,
        };
        space.check(own, more, has_several.then_some(1_000))
    }

    #[test]
    fn one_of_several_callers_stores_at_most_as_much_as_it_leaves() {
        assert_eq!(check(100, 0, 50, true), Ok(()));
        assert_eq!(check(100, 0, 51, true), Err(StorageQuota::ShareOfDisk));
        assert_eq!(check(100, 40, 30, true), Ok(()));
        assert_eq!(check(100, 41, 30, true), Err(StorageQuota::ShareOfDisk));
        assert_eq!(check(100, 101, 1, true), Err(StorageQuota::ShareOfDisk));
        assert_eq!(check(100, 101, 0, true), Ok(()), "a retry takes nothing");
        assert_eq!(check(1_010, 5_000, 10, true), Ok(()), "another one has all");
        let too_little = Err(StorageQuota::ShareOfDisk);
        assert_eq!(check(1_009, 5_000, 10, true), too_little);
        assert_eq!(check(100, 0, 101, true), Err(StorageQuota::Disk));
    }

    #[test]
    fn results_leave_a_quarter_of_what_uploads_leave() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "CREATE TABLE callers (name TEXT, bytes INTEGER);
                   CREATE TABLE jobs (key INTEGER, caller TEXT);
                   INSERT INTO jobs VALUES (1, 'ann'); INSERT INTO callers VALUES ('ann', 0), ('bob', 0);";
        connection.execute_batch(sql).unwrap();
        let quota = |ann: u64, bob: u64, has_several_callers| {
            let sql = "UPDATE callers SET bytes = iif(name = 'ann', ?1, ?2)";
            connection
                .execute(sql, [ann, bob].map(u64::cast_signed))
                .unwrap();
            let limits = CurrentLimits {
                limits: StorageLimits {
                    max_bytes_per_caller: 4_000,
                    max_bytes: 10_000,
                    ..StorageLimits::default()
                },
                has_several_callers,
            };
            limits.of_results(&connection, JobKey(1)).unwrap()
        };
        let exceeded = Some(StorageQuota::ShareOfAllBytes { max: 10_000 });
        assert_eq!(quota(2_000, 7_500, true), None);
        assert_eq!(quota(2_000, 7_501, true), exceeded);
        assert_eq!(
            quota(9_000, 0, true),
            None,
            "all that another one may store"
        );
        assert_eq!(quota(9_001, 0, true), exceeded);
        assert_eq!(quota(9_999, 0, false), None);
    }

    #[test]
    fn the_only_caller_may_take_all() {
        assert_eq!(check(100, 1_000, 100, false), Ok(()));
        assert_eq!(check(100, 0, 101, false), Err(StorageQuota::Disk));
    }
}
