//! Room that the disk has for the store's file. Uploads leave some of it, so that they do not fill the disk: then all jobs would pause.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::statvfs;

/// Free space, besides the reserve, that uploads leave: what one transaction writes to the write-ahead log, at most.
const KEPT_FREE_BYTES: u64 = 8 << 20;
/// Free space below which the disk counts as full. A write finds that out, and is followed by all that a full disk requires.
const FULL_BYTES: u64 = 1 << 20;

/// Returns the bytes that can still be stored in the file of a connection that writes, besides what its transaction has written. `None` if
/// this is unknown, or the disk is full.
///
/// # Errors
/// SQLite's error.
pub fn find(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let file = Path::new(connection.path().unwrap_or_default());
    let Some((free, file_bytes)) = measure(file) else {
        return Ok(None);
    };
    let sql = "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let pages = connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(Pages {
            all: row.get::<_, u32>(0)?.into(),
            free: row.get::<_, u32>(1)?.into(),
            bytes: row.get::<_, u32>(2)?.into(),
        })
    })?;
    Ok((free >= FULL_BYTES).then(|| pages.room(free, file_bytes)))
}

/// Pages of the store, including those that are in the write-ahead log only.
struct Pages {
    all: u64,
    /// Number of pages that contain nothing.
    free: u64,
    /// Size of a page.
    bytes: u64,
}

impl Pages {
    /// Returns the room on a disk with `free` bytes, for a file that has `file_bytes`.
    const fn room(&self, free: u64, file_bytes: u64) -> u64 {
        // The file will grow by the pages that are in the write-ahead log only.
        let growth = (self.all * self.bytes).saturating_sub(file_bytes);
        let unused = free.saturating_add(self.free * self.bytes);
        unused.saturating_sub(growth.saturating_add(KEPT_FREE_BYTES))
    }
}

/// Returns the free bytes of the file's disk, and the length of the file. `None` if one of them is unknown.
fn measure(file: &Path) -> Option<(u64, u64)> {
    let disk = statvfs(file).ok()?;
    let file_bytes = fs::metadata(file).ok()?.len();
    // Some file systems do not know their size.
    (disk.f_blocks > 0).then(|| (disk.f_bavail.saturating_mul(disk.f_frsize), file_bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    #[test]
    fn free_pages_are_room_and_the_write_ahead_log_takes_it() {
        let pages = |all, free| Pages {
            all,
            free,
            bytes: 4096,
        };
        let free = KEPT_FREE_BYTES + 100_000;
        assert_eq!(pages(10, 0).room(free, 10 * 4096), 100_000);
        assert_eq!(pages(10, 2).room(free, 10 * 4096), 100_000 + 2 * 4096);
        assert_eq!(pages(13, 0).room(free, 10 * 4096), 100_000 - 3 * 4096);
        // The file shrinks with the next checkpoint.
        assert_eq!(pages(8, 0).room(free, 10 * 4096), 100_000);
        assert_eq!(pages(100, 0).room(free, 0), 0);
    }

    #[test]
    fn the_room_of_a_file_is_known() {
        let folder = Folder::new("disk-room");
        let connection = Connection::open(folder.file()).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(find(&connection).unwrap().is_some());
        let in_memory = Connection::open_in_memory().unwrap();
        assert_eq!(find(&in_memory).unwrap(), None);
    }
}
