//! Classification of SQLite's errors: a full disk, a file that cannot be written, an I/O error after which nothing is retried.

use std::io;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};
use sqlite_errno::system_errno;

use crate::jobs::store::StoreError;

/// Converts the latest error of a connection.
pub fn from_sqlite(connection: &Connection, error: &rusqlite::Error) -> StoreError {
    from_errno(error, system_errno(connection))
}

/// Converts an error of opening a connection, or of its settings, for which nothing is written.
pub fn from_connect(error: &rusqlite::Error) -> StoreError {
    from_errno(error, 0)
}

/// Converts an error of SQLite, behind which is the operating system's error `errno` if it is an I/O error.
pub fn from_errno(error: &rusqlite::Error, errno: i32) -> StoreError {
    if let rusqlite::Error::ToSqlConversionFailure(error) = error
        && let Some(error) = error.downcast_ref::<StoreError>()
    {
        return error.clone();
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        // A failed fsync or read is no full disk: the contents of the disk are unknown, and a repeated fsync can succeed
        // without having written anything (<https://lwn.net/Articles/752063/>, read 2026-11).
        Some(ErrorCode::SystemIoFailure) if is_failed_write(error) && is_without_space(errno) => {
            StoreError::Full
        }
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

/// Returns true for a failed write to the file, or to the shared memory of its write-ahead log.
fn is_failed_write(error: &rusqlite::Error) -> bool {
    const FAILED_WRITES: [i32; 3] = [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    error
        .sqlite_error()
        .is_some_and(|error| FAILED_WRITES.contains(&error.extended_code))
}

/// Returns true if the operating system had no space for a write. SQLite reports `ENOSPC` of the file as `SQLITE_FULL`; that of the
/// shared memory, an exceeded quota and a file size limit are failed writes, as those of a broken disk are.
fn is_without_space(errno: i32) -> bool {
    matches!(
        io::Error::from_raw_os_error(errno).kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Returns an error of the store as one of SQLite, so that a statement can fail with it.
pub fn to_sqlite(error: StoreError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Converts an error of opening the file at `path`.
pub fn from_open(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Unopened(format!("{}: {error}", path.display())),
    }
}
