//! The layout of the file, and how an older one becomes it.

use rusqlite::{Connection, ErrorCode};

use crate::jobs::store::StoreError;

/// Each step makes the layout of its number from the one before.
const STEPS: [&str; 1] = ["
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
        -- Inputs before this one that have no result were taken up by a process, and are its own until it ends.
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
    -- Apart from the jobs, so that a list of these does not read them.
    CREATE TABLE specs (job INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    -- In these, `place` is the job's key times 2^32 and the item's index or the event's number: rows of a job lie together.
    CREATE TABLE inputs (place INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    -- Of the items that have ended, or were lost. `event`, `status`: of the result, if there is one. `lost`: how many processes died
    -- while they had it, one after the other; `alone`: how many of these had nothing else.
    CREATE TABLE items (
        place INTEGER PRIMARY KEY, event INTEGER, status INTEGER, lost INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX items_not_succeeded ON items (status, place) WHERE status > 0;
    CREATE INDEX items_lost ON items (place) WHERE lost > 0;
    CREATE TABLE events (place INTEGER PRIMARY KEY, item INTEGER, status INTEGER, body BLOB NOT NULL) STRICT;
    CREATE INDEX events_not_succeeded ON events (status, place) WHERE status > 0;
    -- What is still to be told to whoever asked for it, by the job.
    CREATE TABLE webhooks (
        job INTEGER PRIMARY KEY, event INTEGER NOT NULL, due_at INTEGER NOT NULL, tries INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX webhooks_due ON webhooks (due_at);
    -- One row. `is_running`: a process has begun and not ended; `alone`: the place of the one item that it has.
    CREATE TABLE process (
        only INTEGER PRIMARY KEY CHECK (only = 1), is_running INTEGER NOT NULL, alone INTEGER, secret BLOB NOT NULL
    ) STRICT;
    INSERT INTO process VALUES (1, 0, NULL, randomblob(32));
"];

/// The layout that this program knows.
pub const LAYOUT: i64 = 1;
const _: () = assert!(STEPS.len() == 1, "the number of the last step");
/// Marks the file as ours: "xtrd".
const APPLICATION: i64 = 0x7874_7264;

/// Brings the file to the newest layout.
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

/// What SQLite says, in our words.
pub fn store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        // What the disk says when it has no room is not always "full".
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => StoreError::Full,
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
