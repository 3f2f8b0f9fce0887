//! Files and folders that only the owner of the process can read, and that survive a power failure once they have been synced.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

#[cfg(test)]
use recorder::{Change, record};

/// Opens a file, or creates it, readable by its owner only.
///
/// # Errors
/// If it can be neither opened nor created.
pub fn open_file(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Creates a folder and those around it that are missing, readable by their owner only, and syncs their names. An existing folder
/// keeps its permissions: it may be shared with others.
///
/// # Errors
/// If a folder can be neither created nor synced.
pub fn create_folder(folder: &Path) -> Result<()> {
    let existing = folder.ancestors().find(|folder| folder.is_dir());
    create_folders(existing.unwrap_or(Path::new("")), folder)
}

/// Creates a folder, readable by its owner only, and those between it and `root`, which must exist. Their names are synced, also that
/// of a folder that is there already: the process that created it may have ended before it synced.
///
/// # Errors
/// If a folder can be neither created nor synced.
pub fn create_folders(root: &Path, folder: &Path) -> Result<()> {
    if folder == root {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(root);
    create_folders(root, parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => {
            created?;
            #[cfg(test)]
            record(Change::CreateFolder(folder.to_owned()));
        }
    }
    sync_folder(parent)
}

/// Syncs a folder: the names of the files in it. An empty path is the current folder.
///
/// # Errors
/// If there is no such folder, or it cannot be synced.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let is_current = folder.as_os_str().is_empty();
    File::open(if is_current { Path::new(".") } else { folder })?.sync_all()?;
    #[cfg(test)]
    record(Change::SyncFolder(folder.to_owned()));
    Ok(())
}

/// Writes a file that only the owner of the process can read, by way of a temporary file, which is removed if that fails. The file
/// survives a power failure once its folder is synced, too.
///
/// # Errors
/// If the file cannot be written, synced or renamed.
pub fn replace_file(path: &Path, text: &str, modified_at: Option<SystemTime>) -> Result<()> {
    let beside = path.with_extension("tmp");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        #[cfg(test)]
        record(Change::Write(beside.clone(), text.to_owned()));
        if let Some(time) = modified_at {
            file.set_modified(time)?;
        }
        file.sync_all()?;
        #[cfg(test)]
        record(Change::SyncFile(beside.clone()));
        std::fs::rename(&beside, path)?;
        #[cfg(test)]
        record(Change::Rename(beside.clone(), path.to_owned()));
        Ok(())
    };
    write().inspect_err(|_: &Error| {
        // Left behind, it would take room that is needed.
        drop(std::fs::remove_file(&beside));
    })
}

/// Removes a file. Returns false if it is not there.
///
/// # Errors
/// If the file cannot be removed.
pub fn remove_file(path: &Path) -> Result<bool> {
    removal_of(path, std::fs::remove_file(path))
}

/// Removes a folder with all that is in it. Returns false if it is not there.
///
/// # Errors
/// If a file or a folder cannot be removed.
pub fn remove_folder(folder: &Path) -> Result<bool> {
    removal_of(folder, std::fs::remove_dir_all(folder))
}

/// Returns true if the path was removed, and false if it was not there.
#[cfg_attr(not(test), expect(unused_variables, reason = "recorded in tests"))]
fn removal_of(path: &Path, removed: Result<()>) -> Result<bool> {
    if let Err(error) = removed {
        let was_there = error.kind() != ErrorKind::NotFound;
        return if was_there { Err(error) } else { Ok(false) };
    }
    #[cfg(test)]
    record(Change::Remove(path.to_owned()));
    Ok(true)
}

#[cfg(test)]
pub mod recorder;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_created_or_removed_is_an_error_and_what_is_there_or_gone_is_none() {
        let name = format!("extractd-private-files-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let inner = folder.join("a/b");
        create_folder(&inner).unwrap();
        create_folders(&folder, &inner).unwrap();
        let file = inner.join("file");
        replace_file(&file, "text", None).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
        create_folders(&inner, &file).expect_err("there is a file of this name");
        create_folders(&inner, &file.join("c")).expect_err("the parent is a file");
        remove_file(&inner).expect_err("it is a folder");
        assert!(remove_file(&file).unwrap());
        assert!(!remove_file(&file).unwrap());
        assert!(remove_folder(&folder).unwrap());
        assert!(!remove_folder(&folder).unwrap());
    }
}
