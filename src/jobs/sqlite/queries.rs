//! Reads of jobs, specs and the store's secret.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::page::MAX_ROWS_PER_READ;
use crate::jobs::store::{
    Delivery, DeliveryState, ItemCounts, Job, JobFilter, JobKey, MAX_PAGE_BYTES, Scan, Status,
    UnixMillis,
};
use crate::types::{SentMetadata, Usage, Usd};

/// Maximum bytes of the metadata that one read of a search looks at, once for each condition: some tens of milliseconds.
const MAX_BYTES_PER_READ: usize = 4 << 20;

const JOB_COLUMNS: &str = "key, id, caller, metadata, status, total, succeeded, failed, invalid, cancelled, last_event, \
                           input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, created_at, started_at, \
                           finished_at, expires_at, error, digest, grounding, state, attempts, attempted_at, http_status, reason, next_at";
const JOB_TABLES: &str = "jobs LEFT JOIN deliveries ON deliveries.job = jobs.key";

/// Job as it is stored. Its metadata, up to 64 KiB of JSON, is not checked: that would take the write thread longer than a write.
#[derive(Debug)]
pub struct JobRow {
    /// Job without its metadata.
    pub job: Job,
    metadata: Option<String>,
}

impl JobRow {
    /// Returns the job with its metadata.
    pub fn into_job(self) -> Job {
        Job {
            metadata: self.metadata.and_then(SentMetadata::from_stored),
            ..self.job
        }
    }
}

fn job_from_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let grounding: Option<String> = row.get("grounding")?;
    let job = Job {
        key: JobKey(row.get("key")?),
        id: row.get("id")?,
        caller: row.get("caller")?,
        metadata: None,
        status: status_from(row.get("status")?),
        counts: counts_from_row(row)?,
        last_event: row.get("last_event")?,
        usage: usage_from_row(row)?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        expires_at: row.get("expires_at")?,
        error: row.get("error")?,
        digest: row.get("digest")?,
        grounding: grounding.and_then(|counts| serde_json::from_str(&counts).ok()),
        delivery: delivery_from_row(row)?,
    };
    Ok(JobRow {
        job,
        metadata: row.get("metadata")?,
    })
}

fn delivery_from_row(row: &Row<'_>) -> rusqlite::Result<Option<Delivery>> {
    let state: Option<u8> = row.get("state")?;
    let Some(state) = state else {
        return Ok(None);
    };
    Ok(Some(Delivery {
        state: match state {
            0 => DeliveryState::Pending,
            1 => DeliveryState::Delivered,
            _ => DeliveryState::GivenUp,
        },
        attempts: row.get("attempts")?,
        attempted_at: row.get("attempted_at")?,
        http_status: row.get("http_status")?,
        error: row.get("reason")?,
        next_at: row.get("next_at")?,
    }))
}

fn status_from(number: u8) -> Status {
    let known = Status::ALL.get(usize::from(number)).copied();
    known.unwrap_or(Status::Failed)
}

fn counts_from_row(row: &Row<'_>) -> rusqlite::Result<ItemCounts> {
    Ok(ItemCounts {
        total: row.get("total")?,
        succeeded: row.get("succeeded")?,
        failed: row.get("failed")?,
        invalid: row.get("invalid")?,
        cancelled: row.get("cancelled")?,
    })
}

fn usage_from_row(row: &Row<'_>) -> rusqlite::Result<Usage> {
    let tokens = |column: &str| -> rusqlite::Result<u64> {
        let tokens: i64 = row.get(column)?;
        Ok(u64::try_from(tokens).unwrap_or(0))
    };
    let cost: Option<i64> = row.get("cost")?;
    let usage = Usage::new(tokens("input_tokens")?, tokens("output_tokens")?).with_details(
        Some(tokens("cached_tokens")?),
        Some(tokens("reasoning_tokens")?),
    );
    Ok(usage.with_cost(cost.map(cost_from_store)))
}

/// Returns the stored form of a cost: millionths of a millionth of a dollar, as [`Usd`] counts.
pub fn cost_to_store(cost: Usd) -> i64 {
    i64::try_from(cost.0).unwrap_or(i64::MAX)
}

fn cost_from_store(cost: i64) -> Usd {
    Usd(u64::try_from(cost).unwrap_or(0))
}

/// Returns the job with this key; an error if it was removed.
pub fn job_by_key(connection: &Connection, job: JobKey) -> rusqlite::Result<JobRow> {
    connection
        .prepare_cached(&format!(
            "SELECT {JOB_COLUMNS} FROM {JOB_TABLES} WHERE key = ?1"
        ))?
        .query_row([job.0], job_from_row)
}

/// Returns the status of the job with this key; `None` if it was removed.
pub fn status(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<Status>> {
    connection
        .prepare_cached("SELECT status FROM jobs WHERE key = ?1")?
        .query_row([job.0], |row| row.get(0).map(status_from))
        .optional()
}

/// Returns the name of the caller of the job with this key; `None` if it was removed.
pub fn caller(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT caller FROM jobs WHERE key = ?1")?
        .query_row([job.0], |row| row.get(0))
        .optional()
}

/// Returns the job with this ID, visible or not.
pub fn job_by_id(connection: &Connection, id: &str) -> rusqlite::Result<Option<JobRow>> {
    connection
        .prepare_cached(&format!(
            "SELECT {JOB_COLUMNS} FROM {JOB_TABLES} WHERE id = ?1"
        ))?
        .query_row([id], job_from_row)
        .optional()
}

/// Returns the job with this ID if callers can see it.
pub fn visible_job(connection: &Connection, id: &str) -> rusqlite::Result<Option<Job>> {
    let found = job_by_id(connection, id)?.filter(|row| row.job.status.is_visible());
    Ok(found.map(JobRow::into_job))
}

/// Returns the size of a job's spec, without reading it.
pub fn spec_size(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<usize>> {
    connection
        .prepare_cached("SELECT octet_length(body) FROM specs WHERE job = ?1")?
        .query_row([job.0], |row| row.get::<_, u32>(0))
        .map(|bytes| bytes as usize)
        .optional()
}

/// Returns the spec of a job.
pub fn spec(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT body FROM specs WHERE job = ?1")?
        .query_row([job.0], |row| row.get(0))
        .optional()
}

/// Returns visible jobs of a caller with a key below `before` that meet `filter` and have not expired at `now`, newest first; fewer than
/// `limit` if their metadata is long, or if the others are beyond what one read looks at.
pub fn jobs_of_caller(
    connection: &Connection,
    caller: &str,
    filter: &JobFilter,
    before: u32,
    limit: u32,
    now: UnixMillis,
) -> rusqlite::Result<Scan<Vec<Job>>> {
    let statuses: Vec<_> = Status::ALL
        .into_iter()
        .filter(|status| status.is_visible())
        .filter(|status| filter.statuses.is_empty() || filter.statuses.contains(status))
        .map(|status| (status as i64).to_string())
        .collect();
    let metadata = " AND EXISTS (SELECT 1 FROM json_each(metadata) AS pair WHERE pair.key = ? AND pair.value = ?)";
    let sql = format!(
        "SELECT {JOB_COLUMNS}, status IN ({}) AND (expires_at IS NULL OR expires_at > ?){} AS matches FROM {JOB_TABLES} WHERE caller = ? AND jobs.key < ? ORDER BY jobs.key DESC",
        statuses.join(","),
        metadata.repeat(filter.metadata.len())
    );
    let mut values: Vec<Value> = vec![now.into()];
    for (key, value) in &filter.metadata {
        values.extend([key.clone().into(), value.clone().into()]);
    }
    values.extend([caller.to_owned().into(), i64::from(before).into()]);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Vec::new();
    let (mut page_bytes, mut read_rows, mut read_bytes) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        let metadata = row.get_ref("metadata")?.as_str_or_null()?;
        let error = row.get_ref("error")?.as_str_or_null()?;
        let bytes = metadata.map_or(0, str::len) + error.map_or(0, str::len);
        read_rows += 1;
        read_bytes += bytes * filter.metadata.len().max(1);
        if row.get("matches")? {
            page.push(job_from_row(row)?.into_job());
            page_bytes += bytes;
        }
        if page.len() >= limit as usize || page_bytes >= MAX_PAGE_BYTES {
            break;
        }
        if read_rows >= MAX_ROWS_PER_READ || read_bytes >= MAX_BYTES_PER_READ {
            if page.is_empty() {
                return Ok(Scan::GoOn(row.get("key")?));
            }
            break;
        }
    }
    Ok(Scan::Page(page))
}

/// Returns all queued, running and cancelling jobs with their callers, oldest first.
pub fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<(JobKey, String, Status)>> {
    let sql = "SELECT key, caller, status FROM jobs WHERE status < 4 AND status > 0 ORDER BY key";
    connection
        .prepare_cached(sql)?
        .query_map([], |row| {
            Ok((JobKey(row.get(0)?), row.get(1)?, status_from(row.get(2)?)))
        })?
        .collect()
}

/// Returns the random secret of the store.
pub fn secret(connection: &Connection) -> rusqlite::Result<[u8; 32]> {
    connection.query_row("SELECT secret FROM process", [], |row| row.get(0))
}
