//! Layout of the store's file, and the migrations from older layouts.
//!
//! Column names of layout 1 are kept: `place` is a row ID, `taken` a lease, `lost` and `alone` are crash counts, and `tries`
//! are failed delivery attempts.

use rusqlite::Connection;

use super::error::from_sqlite;
use crate::jobs::store::StoreError;

/// Migrations: step n creates layout n + 1 from layout n.
const STEPS: [&str; 8] = ["
    CREATE TABLE jobs (
        key         INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        caller      TEXT NOT NULL,
        metadata    TEXT,
        status      INTEGER NOT NULL,
        total       INTEGER NOT NULL DEFAULT 0,
        succeeded   INTEGER NOT NULL DEFAULT 0,
        failed      INTEGER NOT NULL DEFAULT 0,
        invalid     INTEGER NOT NULL DEFAULT 0,
        cancelled   INTEGER NOT NULL DEFAULT 0,
        last_event  INTEGER NOT NULL DEFAULT 0,
        -- Inputs before this one that have no result are leased by the running process.
        taken       INTEGER NOT NULL DEFAULT 0,
        input_tokens     INTEGER NOT NULL DEFAULT 0,
        output_tokens    INTEGER NOT NULL DEFAULT 0,
        cached_tokens    INTEGER NOT NULL DEFAULT 0,
        reasoning_tokens INTEGER NOT NULL DEFAULT 0,
        cost        INTEGER,
        created_at  INTEGER NOT NULL,
        started_at  INTEGER,
        finished_at INTEGER,
        expires_at  INTEGER,
        error       TEXT,
        digest      BLOB,
        idempotency_key   TEXT,
        idempotency_until INTEGER
    ) STRICT;
    CREATE INDEX jobs_of_caller ON jobs (caller, key);
    CREATE INDEX jobs_unfinished ON jobs (key) WHERE status < 4;
    CREATE INDEX jobs_ending ON jobs (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX jobs_idempotent ON jobs (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;
    -- Apart from the jobs, so that listing jobs does not read them.
    CREATE TABLE specs (job INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    -- In these, `place` is the job's key times 2^32 and the item's index or the event's number: rows of a job lie together.
    CREATE TABLE inputs (place INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    -- Items that have ended or were lost. `event`, `status`: of the result, if there is one. `lost`: how many consecutive processes
    -- died while they had leased it; `alone`: how many of these had leased nothing else.
    CREATE TABLE items (
        place INTEGER PRIMARY KEY, event INTEGER, status INTEGER, lost INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX items_not_succeeded ON items (status, place) WHERE status > 0;
    CREATE INDEX items_lost ON items (place) WHERE lost > 0;
    CREATE TABLE events (place INTEGER PRIMARY KEY, item INTEGER, status INTEGER, body BLOB NOT NULL) STRICT;
    CREATE INDEX events_not_succeeded ON events (status, place) WHERE status > 0;
    -- Pending webhook deliveries, by job.
    CREATE TABLE webhooks (
        job INTEGER PRIMARY KEY, event INTEGER NOT NULL, due_at INTEGER NOT NULL, tries INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX webhooks_due ON webhooks (due_at);
    -- One row. `is_running`: a process has started and not ended cleanly; `alone`: place of the item that runs in isolation.
    CREATE TABLE process (
        only INTEGER PRIMARY KEY CHECK (only = 1), is_running INTEGER NOT NULL, alone INTEGER, secret BLOB NOT NULL
    ) STRICT;
    INSERT INTO process VALUES (1, 0, NULL, randomblob(32));
    ", "
    -- Jobs that are being removed have the status 8, not that of an upload. An older program does not know it.
    SELECT 1;
    ", "
    -- Jobs that are being uploaded or removed.
    CREATE INDEX jobs_hidden ON jobs (key) WHERE status IN (0, 8);
    -- Bytes of the job's spec, inputs and results. Those of an older layout are not counted.
    ALTER TABLE jobs ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
    -- Number and bytes of each caller's stored jobs, hidden ones included.
    CREATE TABLE callers (name TEXT PRIMARY KEY, jobs INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO callers SELECT caller, count(*), 0 FROM jobs GROUP BY caller;
    CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
        INSERT INTO callers VALUES (new.caller, 1, new.stored_bytes)
        ON CONFLICT (name) DO UPDATE SET jobs = jobs + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER job_grown AFTER UPDATE OF stored_bytes ON jobs BEGIN
        UPDATE callers SET bytes = bytes + new.stored_bytes - old.stored_bytes WHERE name = new.caller;
    END;
    CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
        UPDATE callers SET jobs = jobs - 1, bytes = bytes - old.stored_bytes WHERE name = old.caller;
        DELETE FROM callers WHERE name = old.caller AND jobs <= 0;
    END;
    -- Deliveries of one caller must not hide those of the others.
    ALTER TABLE webhooks ADD COLUMN caller TEXT NOT NULL DEFAULT '';
    UPDATE webhooks SET caller = coalesce((SELECT caller FROM jobs WHERE key = webhooks.job), '');
    CREATE INDEX webhooks_of_caller ON webhooks (caller, due_at);
    DROP INDEX webhooks_due;
", "
    -- Webhook deliveries of jobs that have ended, finished ones included. `state`: 0 pending, 1 delivered, 2 given up.
    CREATE TABLE deliveries (
        job INTEGER PRIMARY KEY, state INTEGER NOT NULL, attempts INTEGER NOT NULL, attempted_at INTEGER, http_status INTEGER,
        reason TEXT, next_at INTEGER
    ) STRICT;
    INSERT INTO deliveries (job, state, attempts, next_at) SELECT job, 0, tries, due_at FROM webhooks;
", "
    -- Values of succeeded items by status of their evidence, as JSON.
    ALTER TABLE jobs ADD COLUMN grounding TEXT;
", "
    -- Statuses of items that a retry has yet to queue again, as bits. The job is queued meanwhile.
    ALTER TABLE jobs ADD COLUMN requeued INTEGER NOT NULL DEFAULT 0;
", "
    -- Inputs before this one have a result. Those from it on, before `taken`, may be leased.
    ALTER TABLE jobs ADD COLUMN leased_from INTEGER NOT NULL DEFAULT 0;
", "
    -- Expired and hidden jobs of one caller must not hide those of the others.
    CREATE INDEX jobs_expiring ON jobs (caller, expires_at) WHERE expires_at IS NOT NULL;
    DROP INDEX jobs_ending;
    CREATE INDEX jobs_hidden_of_caller ON jobs (caller, key) WHERE status IN (0, 8);
    DROP INDEX jobs_hidden;
"];

/// Newest layout, which this version reads and writes.
pub const LAYOUT: i64 = 8;
const _: () = assert!(STEPS.len() == 8, "LAYOUT is the number of steps");
/// Application ID of the file: "xtrd".
const APPLICATION_ID: i64 = 0x7874_7264;

/// Migrates the file to the newest layout.
///
/// # Errors
/// The file belongs to another program or a newer version, or a write failed.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let layout = check_layout(connection)?;
    let steps = STEPS.iter().skip(usize::try_from(layout).unwrap_or(0));
    apply(connection, steps.copied()).map_err(|error| from_sqlite(connection, &error))
}

/// Returns the layout of the file, 0 if it is empty.
fn check_layout(connection: &Connection) -> Result<i64, StoreError> {
    let query = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| from_sqlite(connection, &error))
    };
    let layout = query("PRAGMA user_version")?;
    let application_id = query("PRAGMA application_id")?;
    let tables = query("SELECT count(*) FROM sqlite_schema")?;
    if tables > 0 && application_id != APPLICATION_ID {
        let reason = "it is the database of another program";
        return Err(StoreError::Corrupt(reason.to_owned()));
    }
    if layout > LAYOUT {
        return Err(StoreError::Newer {
            found: layout,
            known: LAYOUT,
        });
    }
    Ok(layout)
}

fn apply<'s>(
    connection: &mut Connection,
    steps: impl Iterator<Item = &'s str>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT};"
    ))?;
    transaction.commit()
}
