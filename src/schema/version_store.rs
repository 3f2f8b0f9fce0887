//! Earlier versions of the schemas that were stored over HTTP: files beside them, named by the hash of their text.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::stored_schema::{Entry, hash_of, read_text};
use crate::private_files::{create_folders, remove_file, remove_folder, replace_file, sync_folder};

/// Maximum number of earlier versions of one schema.
const MAX_VERSIONS: usize = 20;
/// Maximum size of the earlier versions of one schema, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// Length of a hash (SHA-256 in hexadecimal).
const HASH_DIGITS: usize = 64;
/// Part of the room for the versions of an owner that is free after the oldest were removed: an eighth. They are not searched again for
/// each change.
const FREED_PART: u64 = 8;

/// Version of a registered schema, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    /// Time when this version was stored.
    pub stored_at: SystemTime,
    bytes: u64,
}

/// Folder with the earlier versions of one schema.
#[derive(Debug)]
pub struct VersionStore(PathBuf);

impl VersionStore {
    /// Returns the store of the schema with this file: `dir/NAME.json` has `dir/versions/NAME`.
    pub fn of_schema_file(schema: &Path) -> Self {
        let name = schema.file_stem().unwrap_or_default();
        Self(schema.with_file_name("versions").join(name))
    }

    /// Keeps the text of a schema's file as a version that was stored at `stored_at`, and removes the oldest ones beyond the limits.
    /// `root` is the data folder.
    ///
    /// # Errors
    /// If the version cannot be written.
    pub fn keep(&self, root: &Path, schema: &Path, stored_at: SystemTime) -> std::io::Result<()> {
        let text = match read_text(schema) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
                let file = schema.display();
                tracing::error!(%error, %file, "a replaced schema is not kept as a version");
                return Ok(());
            }
            text => text?,
        };
        create_folders(root, &self.0)?;
        replace_file(&self.path(&hash_of(&text)), &text, Some(stored_at))?;
        sync_folder(&self.0)?;
        let mut bytes = 0;
        for (number, version) in self.known().into_iter().enumerate() {
            // One that is too large takes nothing from the older ones.
            if number >= MAX_VERSIONS || bytes + version.bytes > MAX_BYTES {
                self.forget(&version.hash);
            } else {
                bytes += version.bytes;
            }
        }
        Ok(())
    }

    /// Returns the versions, newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> std::io::Result<Vec<Version>> {
        let files = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let mut versions = Vec::new();
        for file in files {
            let file = file?;
            let name = file.file_name();
            let hash = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(hash) = hash {
                let metadata = match file.metadata() {
                    // Removed since.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    metadata => metadata?,
                };
                versions.push(Version {
                    hash: hash.to_owned(),
                    stored_at: metadata.modified()?,
                    bytes: metadata.len(),
                });
            }
        }
        versions.sort_unstable_by(|a, b| (b.stored_at, &b.hash).cmp(&(a.stored_at, &a.hash)));
        Ok(versions)
    }

    /// Returns the size of the versions together, in bytes; 0 if they cannot be listed, which is logged.
    pub fn bytes(&self) -> u64 {
        self.known().iter().map(|version| version.bytes).sum()
    }

    /// Returns the text of the version with this hash.
    ///
    /// # Errors
    /// If there is no such version, or it cannot be read.
    pub fn version(&self, hash: &str) -> std::io::Result<String> {
        // The hash comes from a request: it must be neither a path nor longer than a file's name may be.
        if hash.len() != HASH_DIGITS || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ErrorKind::NotFound.into());
        }
        read_text(&self.path(hash))
    }

    /// Removes a version, if it is there. Returns false if it cannot be removed, which is logged: it takes room, and does no harm.
    pub fn forget(&self, hash: &str) -> bool {
        let removed = remove_file(&self.path(hash)).inspect_err(|error| {
            let folder = self.0.display();
            tracing::warn!(%error, %folder, hash, "a version of a schema could not be removed");
        });
        removed.is_ok()
    }

    /// Removes all versions.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn remove(&self) -> std::io::Result<()> {
        remove_folder(&self.0)?;
        // Also without that folder: the process that removed it may have ended before it synced.
        match sync_folder(self.0.parent().unwrap_or(&self.0)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    /// Returns the versions that can be listed. An error is logged.
    fn known(&self) -> Vec<Version> {
        self.list().unwrap_or_else(|error| {
            let folder = self.0.display();
            tracing::warn!(%error, %folder, "the versions of a schema could not be listed");
            Vec::new()
        })
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.0.join(format!("{hash}.json"))
    }
}

/// Removes the oldest versions of several schemas, which take more than `max_bytes` together, until a part of that is free. Returns
/// the size of what is left in each store, in bytes.
pub fn remove_oldest(stores: &[VersionStore], max_bytes: u64) -> Vec<u64> {
    let mut versions = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        versions.extend(store.known().into_iter().map(|version| (number, version)));
    }
    versions.sort_unstable_by_key(|(_, version)| version.stored_at);
    let mut left = vec![0; stores.len()];
    let mut total: u64 = versions.iter().map(|(_, version)| version.bytes).sum();
    for (number, version) in versions {
        let is_removed = total > max_bytes - max_bytes / FREED_PART
            && stores
                .get(number)
                .is_some_and(|store| store.forget(&version.hash));
        if is_removed {
            total -= version.bytes;
        } else if let Some(left) = left.get_mut(number) {
            *left += version.bytes;
        }
    }
    left
}

impl From<&Entry> for Version {
    fn from(entry: &Entry) -> Self {
        Self {
            hash: entry.hash.clone(),
            stored_at: entry.updated_at,
            bytes: u64::try_from(entry.bytes).unwrap_or(u64::MAX),
        }
    }
}
