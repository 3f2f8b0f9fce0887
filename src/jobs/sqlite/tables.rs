//! The layout of the file, and how an older one becomes it.

use rusqlite::{Connection, ErrorCode};

use crate::jobs::store::StoreError;

/// Each step makes the layout of its number from the one before.
const STEPS: [&str; 1] = ["
    CREATE TABLE jobs (
        key         INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        caller      TEXT NOT NULL,
        spec        TEXT NOT NULL,
        metadata    TEXT,
        status      INTEGER NOT NULL,
        total       INTEGER NOT NULL DEFAULT 0,
        succeeded   INTEGER NOT NULL DEFAULT 0,
        failed      INTEGER NOT NULL DEFAULT 0,
        invalid     INTEGER NOT NULL DEFAULT 0,
        cancelled   INTEGER NOT NULL DEFAULT 0,
        last_event  INTEGER NOT NULL DEFAULT 0,
        input_tokens  INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cost        INTEGER,
        created_at  INTEGER NOT NULL,
        started_at  INTEGER,
        finished_at INTEGER,
        expires_at  INTEGER,
        error       TEXT,
        idempotency_key   TEXT,
        idempotency_until INTEGER
    ) STRICT;
    CREATE INDEX jobs_of_caller ON jobs (caller, key);
    CREATE INDEX jobs_unfinished ON jobs (status) WHERE status < 4;
    CREATE INDEX jobs_ending ON jobs (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX jobs_idempotent ON jobs (caller, idempotency_key) WHERE idempotency_key IS NOT NULL;
    -- In these, `place` is the job's key times 2^32 and the item's index or the event's number: rows of a job lie together.
    CREATE TABLE inputs (place INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    -- Of the items that were ever taken up. `event`: the one with the result; `leased`: a process has it now; `lost`: how many
    -- processes ended while they had it.
    CREATE TABLE items (place INTEGER PRIMARY KEY, event INTEGER, leased INTEGER NOT NULL, lost INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE events (place INTEGER PRIMARY KEY, item INTEGER, status INTEGER, body BLOB NOT NULL) STRICT;
"];

/// The layout that this program knows.
pub const LAYOUT: i64 = STEPS.len() as i64;
/// Marks the file as ours: "xtrd".
const APPLICATION: i64 = 0x7874_7264;

/// Brings the file to the newest layout.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let number = |connection: &Connection, name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map_err(|error| refusal(&error))
    };
    let (found, application) = (number(connection, "user_version")?, number(connection, "application_id")?);
    let is_empty: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0)).map_err(|error| refusal(&error))?;
    if !is_empty && application != APPLICATION {
        return Err(StoreError::Corrupt("it is a database of another program".to_owned()));
    }
    if found > LAYOUT {
        return Err(StoreError::Newer { found, known: LAYOUT });
    }
    let transaction = connection.transaction().map_err(|error| refusal(&error))?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(|error| refusal(&error))?;
    }
    transaction
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {LAYOUT};"))
        .map_err(|error| refusal(&error))?;
    transaction.commit().map_err(|error| refusal(&error))
}

/// What SQLite says, in our words.
pub fn refusal(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        // What the disk says when it has no room is not always "full".
        Some(ErrorCode::SystemIoFailure) => StoreError::Full,
        _ => StoreError::Other(error.to_string()),
    }
}
