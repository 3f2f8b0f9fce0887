//! Retries of jobs that have ended: queues their items again, in steps, so that other writes do not wait for long.

use rusqlite::{Connection, OptionalExtension, params};

use super::queries::{self, JobRow};
use super::rowid::job_rowids;
use crate::jobs::store::{ItemCounts, ItemStatus, JobKey, Status};

/// Maximum number of items whose results a step of a retry forgets: other writes wait for it, and it is no larger than a group of
/// writes, for which the disk always has room.
const REQUEUED_PER_STEP: u32 = 9_900;
/// Bytes that a step writes for an item, in pages of the item and of its indexes: with all its items, a step has no other write in
/// its transaction.
const REQUEUED_ITEM_BYTES: usize = 420;
/// Bytes that the largest step writes.
pub const MAX_REQUEUE_STEP_BYTES: usize = REQUEUED_PER_STEP as usize * REQUEUED_ITEM_BYTES;
/// Statuses of the items that a retry queues again, with the column of their count.
const REQUEUEABLE: [(ItemStatus, &str); 3] = [
    (ItemStatus::Failed, "failed"),
    (ItemStatus::Invalid, "invalid"),
    (ItemStatus::Cancelled, "cancelled"),
];

/// Queues a job that has ended again. The results of its items that did not succeed, or only of those with the status `only`, are
/// forgotten by [`requeue_step`]. Returns `None` if it has not ended.
pub fn requeue(
    connection: &Connection,
    job: JobKey,
    only: Option<ItemStatus>,
) -> rusqlite::Result<Option<JobRow>> {
    if !queries::status(connection, job)?.is_some_and(Status::is_ended) {
        return Ok(None);
    }
    let requeued: i64 = REQUEUEABLE
        .iter()
        .filter(|(status, _)| only.is_none_or(|only| only == *status))
        .map(|(status, _)| bit(*status))
        .sum();
    let sql = "UPDATE jobs SET status = ?2, requeued = ?3, leased_from = 0, finished_at = NULL, expires_at = NULL,
               error = NULL WHERE key = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![job.0, Status::Queued as i64, requeued])?;
    for table in ["webhooks", "deliveries"] {
        connection.execute(&format!("DELETE FROM {table} WHERE job = ?1"), [job.0])?;
    }
    queries::job_by_key(connection, job).map(Some)
}

/// Forgets some results of the items that a retry queues again, and takes them from the job's counts. Returns true if none is left,
/// or the job is not queued.
pub fn requeue_step(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    let requeued = requeued_statuses(connection, job)?;
    if requeued == 0 {
        return Ok(true);
    }
    let [first, last] = job_rowids(job);
    let mut left = REQUEUED_PER_STEP;
    for (status, column) in REQUEUEABLE {
        if requeued & bit(status) == 0 {
            continue;
        }
        // `status > 0` is the condition of the index, which contains only what is left.
        let sql = format!(
            "UPDATE items SET event = NULL, status = NULL WHERE place IN
             (SELECT place FROM items WHERE status = {} AND status > 0 AND place BETWEEN ?1 AND ?2 LIMIT ?3)",
            status as i64
        );
        let changed = connection
            .prepare_cached(&sql)?
            .execute(params![first, last, left])?;
        let changed = u32::try_from(changed).unwrap_or(u32::MAX);
        let sql = format!("UPDATE jobs SET {column} = max({column} - ?2, 0) WHERE key = ?1");
        connection
            .prepare_cached(&sql)?
            .execute(params![job.0, changed])?;
        left = left.saturating_sub(changed);
        if left == 0 {
            return Ok(false);
        }
    }
    connection
        .prepare_cached("UPDATE jobs SET requeued = 0 WHERE key = ?1")?
        .execute([job.0])?;
    Ok(true)
}

/// Returns true if a retry of the job has yet to queue items again.
pub fn has_requeue_step(connection: &Connection, job: JobKey) -> rusqlite::Result<bool> {
    Ok(requeued_statuses(connection, job)? != 0)
}

/// Returns the statuses of the items that a retry has yet to queue again, as bits; 0 if there are none, or the job is not queued.
fn requeued_statuses(connection: &Connection, job: JobKey) -> rusqlite::Result<i64> {
    let sql = "SELECT requeued FROM jobs WHERE key = ?1 AND status = ?2";
    let requeued: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(params![job.0, Status::Queued as i64], |row| row.get(0))
        .optional()?;
    Ok(requeued.unwrap_or(0))
}

/// Returns about the bytes that the next [`requeue_step`] of a job with these counts writes.
pub fn requeue_step_bytes(counts: ItemCounts) -> usize {
    let items = counts.failed + counts.invalid + counts.cancelled;
    items.min(REQUEUED_PER_STEP) as usize * REQUEUED_ITEM_BYTES
}

/// Returns the bit of a status in the column `requeued`.
const fn bit(status: ItemStatus) -> i64 {
    1 << status as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_writes_as_much_as_its_items_take_up_to_its_maximum() {
        let step_bytes = |failed, invalid, cancelled| {
            requeue_step_bytes(ItemCounts {
                total: 1_000_000,
                succeeded: 500_000,
                failed,
                invalid,
                cancelled,
            })
        };
        assert_eq!(step_bytes(0, 0, 0), 0);
        assert_eq!(step_bytes(1, 2, 3), 6 * REQUEUED_ITEM_BYTES);
        assert_eq!(step_bytes(0, 100_000, 0), MAX_REQUEUE_STEP_BYTES);
    }
}
