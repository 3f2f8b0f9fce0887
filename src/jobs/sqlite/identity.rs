//! Identity of the store's files: a folder that is removed or replaced while the server runs is noticed, because the open files
//! are no longer those at their paths.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::jobs::store::StoreError;

/// Device and inode of a file.
type FileId = (u64, u64);

/// Files of an open store: the database, its write-ahead log, and the lock.
#[derive(Debug)]
pub struct Identity(Vec<(PathBuf, FileId)>);

impl Identity {
    /// Records the files of the store at `path`, which is open.
    ///
    /// # Errors
    /// A file is not there.
    pub fn record(path: &Path) -> io::Result<Self> {
        let files = [path.to_owned(), log_path(path), path.with_extension("lock")];
        let known = files.into_iter().map(|file| Ok((file_id(&file)?, file)));
        let known: io::Result<Vec<_>> = known
            .map(|pair| pair.map(|(id, file)| (file, id)))
            .collect();
        known.map(Self)
    }

    /// Checks that the open files are still those at their paths.
    ///
    /// # Errors
    /// [`StoreError::Gone`] with the path of one that is not.
    pub fn check(&self) -> Result<(), StoreError> {
        for (file, id) in &self.0 {
            match file_id(file) {
                Ok(found) if found == *id => {}
                Ok(_) => return Err(gone(file, "was replaced")),
                Err(error) if is_missing(&error) => return Err(gone(file, "was removed")),
                // Any other error says nothing about the file, and is found by a read or a write.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Returns the path of the write-ahead log of the file at `path`.
pub fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns true if there is no such file: its folder may have been replaced by a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn gone(file: &Path, what: &str) -> StoreError {
    StoreError::Gone(format!("{} {what}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_gone_if_it_or_its_folder_is_removed_or_replaced() {
        let folder = std::env::temp_dir().join(format!("extractd-identity-{}", std::process::id()));
        let (data, aside) = (folder.join("data"), folder.join("aside"));
        let file = data.join("extractd.db");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(&file, "").unwrap();
        let known = Identity(vec![(file.clone(), file_id(&file).unwrap())]);
        let gone = |what: &str| Err(StoreError::Gone(format!("{} was {what}", file.display())));
        assert_eq!(known.check(), Ok(()));
        // Written before the file is removed, so that it has another inode.
        let other = folder.join("other");
        std::fs::write(&other, "").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_eq!(known.check(), gone("replaced"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(known.check(), gone("removed"));
        std::fs::rename(&data, &aside).unwrap();
        assert_eq!(known.check(), gone("removed"));
        std::fs::write(&data, "a file").unwrap();
        assert_eq!(known.check(), gone("removed"));
        // The system refuses such a name.
        let unknown = Identity(vec![(folder.join("x".repeat(300)), (0, 0))]);
        assert_eq!(unknown.check(), Ok(()));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
