//! The operating system's error behind an error of SQLite, which rusqlite does not return.

use rusqlite::{Connection, ffi};

/// Returns the number of the operating system's error (`errno`) behind the latest I/O error of a connection, or the latest file
/// that it could not open; 0 if there was none. Other errors, and calls that succeed, do not change it.
#[must_use]
pub fn system_errno(connection: &Connection) -> i32 {
    // SAFETY: the handle is that of an open connection, and is neither kept nor closed.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_failed_call() {
        let connection = Connection::open_in_memory().unwrap();
        assert_eq!(system_errno(&connection), 0);
        let missing = std::env::temp_dir().join("sqlite-errno-missing/file");
        let attached = connection.execute("ATTACH ?1 AS other", [missing.to_string_lossy()]);
        assert!(attached.is_err());
        let errno = system_errno(&connection);
        let error = std::io::Error::from_raw_os_error(errno);
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        connection.execute_batch("SELECT 1").unwrap();
        assert_eq!(system_errno(&connection), errno);
    }
}
