//! Registered schemas, by name: those of the configured folder, and those that callers put.
//!
//! What was put stands as a file of its own under the data directory, written beside it, synced and renamed, so that it is
//! there whole after a crash or not at all.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::{Schema, cache};
use crate::model::{Code, Error};

/// Where a registered schema comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file of the configured folder; cannot be changed over HTTP.
    Folder,
    /// Put by a caller.
    Api,
}

/// A registered schema.
#[derive(Debug, Clone)]
pub struct Entry {
    pub schema: Arc<Schema>,
    /// The SHA-256 of its compact text, in hexadecimal.
    pub hash: String,
    pub updated_at: SystemTime,
    pub source: Source,
}

/// The registry could not be read at the start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a schema that can be served: {source}")]
    Schema { path: PathBuf, source: Error },
    #[error("{path}: a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit")]
    Name { path: PathBuf },
}

/// All registered schemas.
#[derive(Debug)]
pub struct Registry {
    entries: RwLock<BTreeMap<String, Entry>>,
    /// One writer at a time, so that the files and the entries change in the same order.
    writing: tokio::sync::Mutex<()>,
    dir: PathBuf,
}

impl Registry {
    /// Reads `*.json` from the folder, if one is configured, and from the data directory. A name in both is the folder's.
    ///
    /// # Errors
    /// When a file cannot be read or holds no usable schema.
    pub fn open(folder: Option<&Path>, data_dir: &Path) -> Result<Self, RegistryError> {
        let dir = data_dir.join("schemas");
        let mut entries = BTreeMap::new();
        if dir.exists() {
            read_dir(&dir, Source::Api, &mut entries)?;
        }
        if let Some(folder) = folder {
            read_dir(folder, Source::Folder, &mut entries)?;
        }
        Ok(Self { entries: RwLock::new(entries), writing: tokio::sync::Mutex::default(), dir })
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Up to `limit` entries in the order of their names, after the name given, and whether there are more.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<(String, Entry)>, bool) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = entries.iter().skip_while(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
        let page = rest.by_ref().take(limit).map(|(name, entry)| (name.clone(), entry.clone())).collect();
        (page, rest.next().is_some())
    }

    /// Registers a schema, on disk before this returns. True when the name is new.
    ///
    /// # Errors
    /// `invalid_request` for a name that is none, `invalid_schema`, `conflict` for a name of the folder's.
    pub async fn put(&self, name: &str, text: &str) -> Result<bool, Error> {
        if !is_name(name) {
            return Err(Error::new(
                Code::InvalidRequest,
                "a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit",
            ));
        }
        let schema = cache::compile(text).await?;
        let _writing = self.writing.lock().await;
        self.refuse_the_folders(name)?;
        let (dir, path, raw) = (self.dir.clone(), self.path(name), schema.raw().get().to_owned());
        on_disk(move || write_whole(&dir, &path, raw.as_bytes())).await?;
        let entry = Entry::new(schema, SystemTime::now(), Source::Api);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.insert(name.to_owned(), entry).is_none())
    }

    /// Removes a schema, on disk too. False when there is none of this name.
    ///
    /// # Errors
    /// `conflict` for a name of the folder's.
    pub async fn delete(&self, name: &str) -> Result<bool, Error> {
        let _writing = self.writing.lock().await;
        self.refuse_the_folders(name)?;
        if self.get(name).is_none() {
            return Ok(false);
        }
        let path = self.path(name);
        on_disk(move || std::fs::remove_file(path)).await?;
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(true)
    }

    fn refuse_the_folders(&self, name: &str) -> Result<(), Error> {
        match self.get(name) {
            Some(Entry { source: Source::Folder, .. }) => Err(Error::new(
                Code::Conflict,
                format!("the schema `{name}` comes from the configured folder and is changed there, not over HTTP"),
            )),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}

impl Entry {
    fn new(schema: Schema, updated_at: SystemTime, source: Source) -> Self {
        let hash = hexadecimal(&Sha256::digest(schema.raw().get()));
        Self { schema: Arc::new(schema), hash, updated_at, source }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `[a-z0-9][a-z0-9_-]{0,63}`
fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64 && name.starts_with(letter) && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

fn read_dir(dir: &Path, source: Source, entries: &mut BTreeMap<String, Entry>) -> Result<(), RegistryError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| RegistryError::Read { path, source }
    };
    for file in std::fs::read_dir(dir).map_err(read(dir))? {
        let path = file.map_err(read(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_name(name));
        let Some(name) = name else { return Err(RegistryError::Name { path }) };
        let text = std::fs::read_to_string(&path).map_err(read(&path))?;
        let updated_at = path.metadata().and_then(|metadata| metadata.modified()).map_err(read(&path))?;
        let name = name.to_owned();
        let schema = Schema::compile(&text).map_err(|source| RegistryError::Schema { path, source })?;
        entries.insert(name, Entry::new(schema, updated_at, source));
    }
    Ok(())
}

async fn on_disk(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).and_then(|done| done);
    done.map_err(|error| {
        tracing::error!(%error, "a registered schema could not be written or removed");
        Error::new(Code::Internal, "the schema could not be stored; the server's log says why")
    })
}

fn write_whole(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let beside = path.with_extension("tmp");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(dir)?.sync_all()
}
