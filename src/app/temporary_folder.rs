//! Folder of a server that keeps nothing.

use std::path::{Path, PathBuf};

use crate::types::ids::new_uuid;

/// Folder in the system's temporary folder, removed on drop.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates the folder.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("extractd-{}", new_uuid().simple()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system's own clean-up.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
