//! Registered schemas as they are kept: text, hash and time, and their files.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Source of a registered schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// File of the configured folder; cannot be changed over HTTP.
    Folder,
    /// Stored over HTTP.
    Api,
}

/// Registered schema.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Schema as JSON text.
    pub text: Arc<str>,
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    /// Time of the last change; for a file of the folder its modification time.
    pub updated_at: SystemTime,
    /// Source of the schema.
    pub source: Source,
}

impl Entry {
    pub(super) fn new(text: &str, updated_at: SystemTime, source: Source) -> Self {
        Self {
            text: text.into(),
            hash: crate::types::hexadecimal(&Sha256::digest(text)),
            updated_at,
            source,
        }
    }
}

/// Creates a folder that only the owner of the process can read, and those between it and `root`, which must exist. What is new
/// is synced.
pub(super) fn create_folders(root: &Path, folder: &Path) -> std::io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(root);
    create_folders(root, parent)?;
    std::fs::DirBuilder::new().mode(0o700).create(folder)?;
    sync_folder(parent)
}

/// Syncs a folder: the names of the files in it.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Writes a file that only the owner of the process can read, by way of a temporary file, which is removed if that fails.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("tmp");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    if let Err(error) = write() {
        // Left behind, it would take room that is needed.
        drop(std::fs::remove_file(&beside));
        return Err(error);
    }
    sync_folder(path.parent().unwrap_or(path))
}
