//! Copy of a store, which may be in use by a running server.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::{from_connect, from_open, from_sqlite};
use super::readers::connect;
use super::recovery;
use crate::jobs::store::StoreError;
use crate::private_files;

/// Copies the store at `path` to the file `target`, which must not exist, as one consistent snapshot. The copy is on disk when
/// this returns, and appears under its name only once it is complete.
///
/// # Errors
/// The store cannot be read, or the copy cannot be written.
pub fn back_up(path: &Path, target: &Path) -> Result<(), StoreError> {
    if target.exists() {
        let reason = format!("{} exists; choose another file", target.display());
        return Err(StoreError::Other(reason));
    }
    let partial = {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    };
    let copied = copy(path, &partial).and_then(|()| publish(&partial, target));
    if copied.is_err() {
        // What is left of a failed copy is of no use.
        drop(std::fs::remove_file(&partial));
    }
    copied
}

fn copy(path: &Path, partial: &Path) -> Result<(), StoreError> {
    let connected = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let source = connected.map_err(|error| from_connect(&error))?;
    // An empty file with the right permissions, into which SQLite writes.
    let file = private_files::open_file(partial).and_then(|file| file.set_len(0));
    file.map_err(|error| from_open(partial, &error))?;
    source
        .execute("VACUUM INTO ?1", [partial.to_string_lossy()])
        .map_err(|error| from_sqlite(&source, &error))?;
    // The process that uses the copy does not continue the one that uses the store.
    let copy = Connection::open(partial).map_err(|error| from_connect(&error))?;
    recovery::mark_clean_shutdown(&copy).map_err(|error| from_sqlite(&copy, &error))?;
    copy.close()
        .map_err(|(copy, error)| from_sqlite(&copy, &error))
}

/// Syncs the copy, and gives it its name.
fn publish(partial: &Path, target: &Path) -> Result<(), StoreError> {
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let published = sync(partial)
        .and_then(|()| std::fs::hard_link(partial, target))
        .and_then(|()| std::fs::remove_file(partial))
        .and_then(|()| sync(folder.unwrap_or(Path::new("."))));
    published.map_err(|error| from_open(target, &error))
}
