//! The layout of the store's file, and the migrations from older layouts; SQLite's errors as store errors.

use rusqlite::{Connection, ErrorCode, ffi};

use crate::jobs::store::StoreError;

/// Migrations: step n creates layout n + 1 from layout n.
const STEPS: [&str; 2] = ["
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
"];

/// The newest layout.
pub const LAYOUT: i64 = 2;
const _: () = assert!(STEPS.len() == 2, "the number of the last step");
/// Marks the file as ours: "xtrd".
const APPLICATION: i64 = 0x7874_7264;

/// Migrates the file to the newest layout.
///
/// # Errors
/// When the file belongs to another program or a newer version, or a write fails.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let number = |connection: &Connection, name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
            .map_err(|error| store_error(&error))
    };
    let (found, application) = (
        number(connection, "user_version")?,
        number(connection, "application_id")?,
    );
    let is_empty: bool = connection
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
            row.get(0)
        })
        .map_err(|error| store_error(&error))?;
    if !is_empty && application != APPLICATION {
        return Err(StoreError::Corrupt(
            "it is a database of another program".to_owned(),
        ));
    }
    if found > LAYOUT {
        return Err(StoreError::Newer {
            found,
            known: LAYOUT,
        });
    }
    let transaction = connection
        .transaction()
        .map_err(|error| store_error(&error))?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction
            .execute_batch(step)
            .map_err(|error| store_error(&error))?;
    }
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {LAYOUT};"
        ))
        .map_err(|error| store_error(&error))?;
    transaction.commit().map_err(|error| store_error(&error))
}

/// Converts an error of SQLite.
pub fn store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        // A full disk also shows as a failed write to the file, or to the index of the log. A failed fsync or read is no such
        // thing: what is on the disk is unknown then, and a repeated fsync can succeed without having written anything
        // (<https://lwn.net/Articles/752063/>, read 2026-11).
        Some(ErrorCode::SystemIoFailure) if is_failed_write(error) => StoreError::Full,
        Some(ErrorCode::SystemIoFailure) => StoreError::Io(error.to_string()),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt(error.to_string())
        }
        _ => StoreError::Other(error.to_string()),
    }
}

/// Returns true for an I/O error of a write that found no room.
fn is_failed_write(error: &rusqlite::Error) -> bool {
    const WRITES: [i32; 2] = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE];
    error
        .sqlite_error()
        .is_some_and(|error| WRITES.contains(&error.extended_code))
}
