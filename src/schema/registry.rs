//! Registry of schemas by name: from the configured folder, and stored over HTTP.
//!
//! A schema stored over HTTP is a file under the data directory. It is written to a temporary file, synced and renamed, so
//! that a crash never leaves a partial file.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::cache;
use super::compiled::Schema;
use crate::types::{Code, Error};

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
    /// Compiled schema.
    pub schema: Arc<Schema>,
    /// SHA-256 of the compact text, in hexadecimal.
    pub hash: String,
    /// Time of the last change; for a file of the folder its modification time.
    pub updated_at: SystemTime,
    /// Source of the schema.
    pub source: Source,
}

/// Error of loading the registry at startup.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a schema that can be served: {source}")]
    Schema { path: PathBuf, source: Error },
    #[error(
        "{path}: a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit"
    )]
    Name { path: PathBuf },
}

/// Registry of all schemas.
#[derive(Debug)]
pub struct Registry {
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Lock of writers: files and entries change in the same order.
    writing: Mutex<()>,
    dir: PathBuf,
}

impl Registry {
    /// Loads `*.json` from the folder, if configured, and from the data directory. The folder has precedence.
    ///
    /// # Errors
    /// If a file cannot be read, its name is invalid, or it is no usable schema.
    pub fn open(folder: Option<&Path>, data_dir: &Path) -> Result<Self, RegistryError> {
        let dir = data_dir.join("schemas");
        let mut entries = BTreeMap::new();
        if dir.exists() {
            read_dir(&dir, Source::Api, &mut entries)?;
        }
        if let Some(folder) = folder {
            read_dir(folder, Source::Folder, &mut entries)?;
        }
        Ok(Self {
            entries: RwLock::new(entries),
            writing: Mutex::default(),
            dir,
        })
    }

    /// Returns the schema of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Returns up to `limit` entries ordered by name, starting after `after`, and true if there are more.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<(String, Entry)>, bool) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = entries
            .iter()
            .skip_while(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
        let page = rest
            .by_ref()
            .take(limit)
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        (page, rest.next().is_some())
    }

    /// Stores a schema; it is on disk when this returns. Returns true if the name is new.
    ///
    /// # Errors
    /// `invalid_request` for an invalid name, `invalid_schema`, `conflict` for a name of the configured folder.
    ///
    /// # Cancel safety
    /// A started change completes in the background.
    pub async fn put(self: &Arc<Self>, name: &str, text: &str) -> Result<bool, Error> {
        if !is_valid_name(name) {
            return Err(Error::new(
                Code::InvalidRequest,
                "a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit",
            ));
        }
        let schema = cache::compile(text).await?;
        self.change(name, move |registry, name| {
            write_atomically(
                &registry.dir,
                &registry.path(name),
                schema.raw().get().as_bytes(),
            )?;
            let entry = Entry::new(schema, crate::types::clock::now(), Source::Api);
            Ok(registry
                .entries_mut()
                .insert(name.to_owned(), entry)
                .is_none())
        })
        .await
    }

    /// Deletes a schema, also from disk. Returns false if there is no schema of this name.
    ///
    /// # Errors
    /// `conflict` for a name of the configured folder.
    ///
    /// # Cancel safety
    /// A started change completes in the background.
    pub async fn delete(self: &Arc<Self>, name: &str) -> Result<bool, Error> {
        self.change(name, |registry, name| {
            if registry.get(name).is_none() {
                return Ok(false);
            }
            std::fs::remove_file(registry.path(name))?;
            Ok(registry.entries_mut().remove(name).is_some())
        })
        .await
    }

    /// Changes file and entry together on the blocking pool, one change at a time.
    async fn change(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&Self, &str) -> std::io::Result<bool> + Send + 'static,
    ) -> Result<bool, Error> {
        let (registry, name) = (Arc::clone(self), name.to_owned());
        let changed = tokio::task::spawn_blocking(move || {
            let _writing = registry
                .writing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            registry.reject_folder_name(&name)?;
            work(&registry, &name).map_err(|error| {
                tracing::error!(%error, name, "a registered schema could not be written or removed");
                Error::new(Code::Internal, "the schema could not be stored; the server's log says why")
            })
        });
        changed
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the schema could not be stored")))
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reject_folder_name(&self, name: &str) -> Result<(), Error> {
        match self.get(name) {
            Some(Entry {
                source: Source::Folder,
                ..
            }) => Err(Error::new(
                Code::Conflict,
                format!(
                    "the schema `{name}` comes from the configured folder and is changed there, not over HTTP"
                ),
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
        let hash = crate::types::hexadecimal(&Sha256::digest(schema.raw().get()));
        Self {
            schema: Arc::new(schema),
            hash,
            updated_at,
            source,
        }
    }
}

/// Returns true for a valid schema name: `[a-z0-9][a-z0-9_-]{0,63}`.
fn is_valid_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

fn read_dir(
    dir: &Path,
    source: Source,
    entries: &mut BTreeMap<String, Entry>,
) -> Result<(), RegistryError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| RegistryError::Read { path, source }
    };
    for file in std::fs::read_dir(dir).map_err(read(dir))? {
        let path = file.map_err(read(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|name| is_valid_name(name));
        let Some(name) = name else {
            return Err(RegistryError::Name { path });
        };
        let text = std::fs::read_to_string(&path).map_err(read(&path))?;
        let updated_at = path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map_err(read(&path))?;
        let name = name.to_owned();
        let schema =
            Schema::compile(&text).map_err(|source| RegistryError::Schema { path, source })?;
        entries.insert(name, Entry::new(schema, updated_at, source));
    }
    Ok(())
}

fn write_atomically(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let beside = path.with_extension("tmp");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(dir)?.sync_all()
}
