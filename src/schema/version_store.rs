//! Earlier versions of the schemas that were stored over HTTP: files beside them, named by the hash of their text.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::stored_schema::{Entry, Source, create_folders, sync_folder, write_atomically};

/// Maximum number of earlier versions of one schema.
const MAX_VERSIONS: usize = 20;
/// Maximum size of the earlier versions of one schema, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// Length of a hash (SHA-256 in hexadecimal).
const HASH_DIGITS: usize = 64;

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
pub struct VersionStore(PathBuf);

impl VersionStore {
    /// Returns the store of the schema with this file: `dir/NAME.json` has `dir/versions/NAME`.
    pub fn of_schema_file(schema: &Path) -> Self {
        let name = schema.file_stem().unwrap_or_default();
        Self(schema.with_file_name("versions").join(name))
    }

    /// Keeps a version, and removes the oldest ones beyond the limits. `root` is the data folder.
    ///
    /// # Errors
    /// If the version cannot be written.
    pub fn keep(&self, root: &Path, entry: &Entry) -> std::io::Result<()> {
        create_folders(root, &self.0)?;
        let path = self.path(&entry.hash);
        write_atomically(&path, entry.text.as_bytes())?;
        std::fs::File::options()
            .write(true)
            .open(&path)?
            .set_modified(entry.updated_at)?;
        let mut bytes = 0;
        for (number, version) in self.list()?.into_iter().enumerate() {
            bytes += version.bytes;
            if number >= MAX_VERSIONS || bytes > MAX_BYTES {
                std::fs::remove_file(self.path(&version.hash))?;
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
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        let mut versions = Vec::new();
        for file in files {
            let file = file?;
            let name = file.file_name();
            let hash = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(hash) = hash {
                let metadata = file.metadata()?;
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

    /// Returns the version with this hash.
    ///
    /// # Errors
    /// If there is no such version, or it cannot be read.
    pub fn version(&self, hash: &str) -> std::io::Result<Entry> {
        // The hash comes from a request: it must be neither a path nor longer than a file's name may be.
        if hash.len() != HASH_DIGITS || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        let path = self.path(hash);
        let text = std::fs::read_to_string(&path)?;
        let stored_at = path.metadata()?.modified()?;
        Ok(Entry::new(&text, stored_at, Source::Api))
    }

    /// Removes a version, if it is there: it is the current one again.
    pub fn forget(&self, hash: &str) {
        drop(std::fs::remove_file(self.path(hash)));
    }

    /// Removes all versions.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_folder(self.0.parent().unwrap_or(&self.0))),
        }
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.0.join(format!("{hash}.json"))
    }
}

impl From<&Entry> for Version {
    fn from(entry: &Entry) -> Self {
        Self {
            hash: entry.hash.clone(),
            stored_at: entry.updated_at,
            bytes: u64::try_from(entry.text.len()).unwrap_or(u64::MAX),
        }
    }
}
