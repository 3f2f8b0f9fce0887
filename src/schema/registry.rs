//! Registry of schemas by owner and name: from the configured folder, and stored over HTTP.
//!
//! A schema stored over HTTP belongs to the caller that stored it, and is a file under the data directory. It is written to a
//! temporary file, synced and renamed, so that a crash never leaves a partial file. Only its text is kept here; it is compiled
//! when it is used, and then cached.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use throttle::{CallerId, FairSemaphore};
use tokio::task::JoinError;

use super::compiled::Schema;
use super::stored_schema::{Entry, Source, create_folders, sync_folder, write_atomically};
use super::version_store::{Version, VersionStore};
use crate::types::{Code, Error, did_you_mean, truncate_for_display};

/// Maximum length of a name that is compared with those of the schemas, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Maximum number of concurrent reads of earlier versions. One caller has as many as are free: half of them, if it is the only one.
const MAX_READS: usize = 8;

/// Limits of the schemas that a caller may store over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Maximum number of schemas.
    pub schemas: usize,
    /// Maximum size of all schemas together, in bytes.
    pub bytes: usize,
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

/// Owner of the schemas that all callers share.
const EVERYONE: &str = "";
/// First character of the folder of an owner. No file of a schema begins with it.
const OWNER_MARK: char = '@';
/// Time after which a failed write to the disk may be repeated.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Entries by name.
type Names = BTreeMap<String, Entry>;

/// Registry of all schemas.
#[derive(Debug)]
pub struct Registry {
    /// Schemas of the configured folder, which all callers see.
    folder: Names,
    /// Schemas stored over HTTP, by owner.
    stored: RwLock<BTreeMap<String, Names>>,
    /// Permit of the only writer: files and entries change in the same order.
    pub(super) writing: FairSemaphore,
    /// Permits of the readers of earlier versions.
    pub(super) reading: FairSemaphore,
    /// Data folder, which is created at the start of the server only: one that is gone must not be replaced by an empty one.
    data_dir: PathBuf,
    /// Folder of the stored schemas, within the data folder.
    dir: PathBuf,
    quota: Quota,
}

impl Registry {
    /// Loads `*.json` from the folder, if configured, and from the data directory. The folder has precedence.
    ///
    /// # Errors
    /// If a file cannot be read, its name is invalid, or a file of the folder is no usable schema.
    pub fn open(
        folder: Option<&Path>,
        data_dir: &Path,
        quota: Quota,
    ) -> Result<Self, RegistryError> {
        let dir = data_dir.join("schemas");
        let stored = if dir.exists() {
            read_stored(&dir)?
        } else {
            BTreeMap::new()
        };
        let folder = match folder {
            Some(folder) => read_dir(folder, Source::Folder)?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            folder,
            stored: RwLock::new(stored),
            writing: FairSemaphore::new(1),
            reading: FairSemaphore::leaving_room(MAX_READS),
            data_dir: data_dir.to_owned(),
            dir,
            quota,
        })
    }

    /// Returns the schema of this name that `owner` sees: of the configured folder, its own, or one that was stored while there
    /// were no callers.
    #[must_use]
    pub fn get(&self, owner: &str, name: &str) -> Option<Entry> {
        if let Some(entry) = self.folder.get(name) {
            return Some(entry.clone());
        }
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let find = |owner: &str| stored.get(owner)?.get(name).cloned();
        find(owner).or_else(|| find(EVERYONE))
    }

    /// Returns the message for a name without a schema that `owner` sees, with a name that is near.
    #[must_use]
    pub fn missing(&self, owner: &str, name: &str) -> String {
        let (visible, _) = self.list(owner, None, usize::MAX);
        let near = if name.len() <= MAX_NAME_BYTES {
            did_you_mean(name, visible.iter().map(|(name, _)| name.as_str()))
        } else {
            String::new()
        };
        let name = truncate_for_display(name);
        let advice = if visible.is_empty() {
            "register it by PUT /v1/schemas/NAME"
        } else {
            "see /v1/schemas for all names"
        };
        format!("no schema is registered under the name \"{name}\";{near} {advice}")
    }

    /// Returns up to `limit` entries that `owner` sees, ordered by name, starting after `after`, and true if there are more.
    #[must_use]
    pub fn list(
        &self,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(String, Entry)>, bool) {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let mut visible: BTreeMap<&String, &Entry> = BTreeMap::new();
        for names in [stored.get(EVERYONE), stored.get(owner), Some(&self.folder)] {
            visible.extend(names.into_iter().flatten());
        }
        let mut rest = visible
            .into_iter()
            .skip_while(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
        let page = rest
            .by_ref()
            .take(limit)
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        (page, rest.next().is_some())
    }

    /// Stores a schema of `owner` on behalf of `caller`; it is on disk when this returns. Returns its entry, and true if the name
    /// is new. A text that is stored already is not written again.
    ///
    /// # Errors
    /// `invalid_request` for an invalid name, `conflict` for a name of the configured folder, `quota_exceeded` if the owner has
    /// as many schemas as it may, `overloaded` if the disk does not take it.
    ///
    /// # Cancel safety
    /// A started change completes in the background.
    pub async fn put(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
        schema: &Schema,
    ) -> Result<(Entry, bool), Error> {
        if !is_valid_name(name) {
            return Err(Error::new(
                Code::InvalidRequest,
                "a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit",
            ));
        }
        self.check_changeable(name)?;
        let entry = Entry::new(schema.raw().get(), crate::types::clock::now(), Source::Api);
        let unchanged = self.own(owner, name).filter(|own| own.hash == entry.hash);
        if let Some(unchanged) = unchanged {
            return Ok((unchanged, false));
        }
        self.change(caller, owner, name, move |registry, owner, name| {
            registry.check_quota(owner, name, entry.text.len())?;
            let path = registry.path(owner, name);
            let versions = VersionStore::of_schema_file(&path);
            let replaced = registry.own(owner, name);
            let replaced = replaced.filter(|replaced| replaced.hash != entry.hash);
            let write = || {
                if let Some(replaced) = &replaced {
                    versions.keep(&registry.data_dir, replaced)?;
                }
                create_folders(&registry.data_dir, path.parent().unwrap_or(&registry.dir))?;
                write_atomically(&path, entry.text.as_bytes())
            };
            write().map_err(|error| cannot_store(name, &error))?;
            versions.forget(&entry.hash);
            let mut stored = registry.stored_mut();
            let names = stored.entry(owner.to_owned()).or_default();
            let is_new = names.insert(name.to_owned(), entry.clone()).is_none();
            Ok((entry, is_new))
        })
        .await
    }

    /// Deletes a schema of `owner` on behalf of `caller`, also from disk. Returns false if the owner has no schema of this name.
    ///
    /// # Errors
    /// `conflict` for a name of the configured folder, `overloaded` if the disk does not take the change.
    ///
    /// # Cancel safety
    /// A started change completes in the background.
    pub async fn delete(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
    ) -> Result<bool, Error> {
        self.check_changeable(name)?;
        self.change(caller, owner, name, |registry, owner, name| {
            if registry.own(owner, name).is_none() {
                return Ok(false);
            }
            let path = registry.path(owner, name);
            let remove = || {
                VersionStore::of_schema_file(&path).remove()?;
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
                // Fails if the folder itself is gone, with which the schema may come back.
                sync_folder(path.parent().unwrap_or(&registry.dir))
            };
            remove().map_err(|error| cannot_store(name, &error))?;
            // Entries change with the permit of the writer only, so it is still there.
            if let Some(names) = registry.stored_mut().get_mut(owner) {
                names.remove(name);
            }
            Ok(true)
        })
        .await
    }

    /// Returns the versions of the schema of this name that `owner` sees, the current one first; `None` without such a schema. They
    /// are read on behalf of `caller`.
    ///
    /// # Errors
    /// `overloaded` if the disk cannot be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn versions(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
    ) -> Result<Option<Vec<Version>>, Error> {
        let Some(current) = self.get(owner, name) else {
            return Ok(None);
        };
        let mut versions = vec![Version::from(&current)];
        if let Some(store) = self.version_store(owner, name) {
            let earlier = in_turn(&self.reading, caller, move || store.list());
            let earlier = earlier.await.unwrap_or_else(|_| Ok(Vec::new()));
            versions.extend(earlier.map_err(|error| cannot_read(name, &error))?);
        }
        Ok(Some(versions))
    }

    /// Returns the version with this hash of the schema of this name that `owner` sees. It is read on behalf of `caller`.
    ///
    /// # Errors
    /// `overloaded` if the disk cannot be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn version(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
        hash: &str,
    ) -> Result<Option<Entry>, Error> {
        let current = self.get(owner, name).filter(|entry| entry.hash == hash);
        if current.is_some() {
            return Ok(current);
        }
        let Some(store) = self.version_store(owner, name) else {
            return Ok(None);
        };
        let wanted = hash.to_owned();
        let read = in_turn(&self.reading, caller, move || store.version(&wanted));
        match read.await {
            Ok(Ok(entry)) => Ok(Some(entry)),
            Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(cannot_read(name, &error))
            }
            _ => Ok(None),
        }
    }

    /// Returns the store of the versions of a schema that `owner` sees, unless it comes from the folder.
    fn version_store(&self, owner: &str, name: &str) -> Option<VersionStore> {
        if self.folder.contains_key(name) {
            return None;
        }
        let owners = [owner, EVERYONE];
        let owner = owners
            .iter()
            .find(|owner| self.own(owner, name).is_some())?;
        Some(VersionStore::of_schema_file(&self.path(owner, name)))
    }

    /// Returns the schema of this name that `owner` itself stored.
    fn own(&self, owner: &str, name: &str) -> Option<Entry> {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        stored.get(owner)?.get(name).cloned()
    }

    /// Checks that a schema is not of the configured folder.
    fn check_changeable(&self, name: &str) -> Result<(), Error> {
        if !self.folder.contains_key(name) {
            return Ok(());
        }
        let detail = format!(
            "the schema `{name}` comes from the configured folder and is changed there, not over HTTP"
        );
        Err(Error::new(Code::Conflict, detail))
    }

    /// Changes file and entry together on the blocking pool, one change at a time.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
        work: impl FnOnce(&Self, &str, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (registry, owner, name) = (Arc::clone(self), owner.to_owned(), name.to_owned());
        let changed = in_turn(&self.writing, caller, move || {
            work(&registry, &owner, &name)
        });
        changed
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the schema could not be stored")))
    }

    fn check_quota(&self, owner: &str, name: &str, bytes: usize) -> Result<(), Error> {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let others = || {
            let names = stored.get(owner).into_iter().flatten();
            names.filter(|(other, _)| *other != name)
        };
        let Quota {
            schemas: max_schemas,
            bytes: max_bytes,
        } = self.quota;
        let held: usize = others().map(|(_, entry)| entry.text.len()).sum();
        if others().count() < max_schemas && held + bytes <= max_bytes {
            return Ok(());
        }
        let detail = format!(
            "a caller may store {max_schemas} schemas (`schemas.max_per_caller`) of {max_bytes} bytes together \
             (`schemas.max_bytes_per_caller`); delete some that are no longer used"
        );
        Err(Error::new(Code::QuotaExceeded, detail))
    }

    fn stored_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Names>> {
        self.stored.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, owner: &str, name: &str) -> PathBuf {
        let file = format!("{name}.json");
        if owner == EVERYONE {
            self.dir.join(file)
        } else {
            self.dir.join(format!("{OWNER_MARK}{owner}")).join(file)
        }
    }
}

/// Does work that waits for the disk on the blocking pool, which is shared by the whole process. The callers take turns, and wait for
/// them without a thread.
async fn in_turn<T: Send + 'static>(
    turns: &FairSemaphore,
    caller: CallerId,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let turn = turns.acquire(caller, 1).await;
    tokio::task::spawn_blocking(move || {
        // The thread is kept until the disk answers, even if nobody waits for it any more.
        let _turn = turn;
        work()
    })
    .await
}

/// Logs a failed write, and returns the error of the request.
fn cannot_store(name: &str, error: &std::io::Error) -> Error {
    tracing::error!(%error, name, "a registered schema could not be written or removed");
    let detail = format!("the schema could not be written to the data folder: {error}");
    Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
}

/// Logs a failed read, and returns the error of the request.
fn cannot_read(name: &str, error: &std::io::Error) -> Error {
    tracing::error!(%error, name, "the versions of a registered schema could not be read");
    let detail =
        format!("the versions of the schema could not be read from the data folder: {error}");
    Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
}

/// Pattern of a schema's name, as the API document states it.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// Returns true for a valid schema name: [`NAME_PATTERN`].
fn is_valid_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

/// Reads the schemas that were stored over HTTP, by owner.
fn read_stored(dir: &Path) -> Result<BTreeMap<String, Names>, RegistryError> {
    let mut stored = BTreeMap::from([(EVERYONE.to_owned(), read_dir(dir, Source::Api)?)]);
    for path in paths_in(dir)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(owner) = name.and_then(|name| name.strip_prefix(OWNER_MARK)) {
            stored.insert(owner.to_owned(), read_dir(&path, Source::Api)?);
        }
    }
    Ok(stored)
}

fn paths_in(dir: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let files = std::fs::read_dir(dir).and_then(|files| {
        files
            .map(|file| Ok(file?.path()))
            .collect::<std::io::Result<_>>()
    });
    files.map_err(|source| RegistryError::Read {
        path: dir.to_owned(),
        source,
    })
}

fn read_dir(dir: &Path, source: Source) -> Result<Names, RegistryError> {
    let mut entries = BTreeMap::new();
    for path in paths_in(dir)? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|name| is_valid_name(name));
        let Some(name) = name.map(str::to_owned) else {
            return Err(RegistryError::Name { path });
        };
        let read = std::fs::read_to_string(&path).and_then(|text| {
            let updated_at = path.metadata()?.modified()?;
            Ok((text, updated_at))
        });
        let (mut text, updated_at) = match read {
            Ok(read) => read,
            Err(source) => return Err(RegistryError::Read { path, source }),
        };
        // What was stored over HTTP was compiled then.
        if source == Source::Folder {
            match Schema::compile(&text) {
                Ok(schema) => schema.raw().get().clone_into(&mut text),
                Err(source) => return Err(RegistryError::Schema { path, source }),
            }
        }
        entries.insert(name, Entry::new(&text, updated_at, source));
    }
    Ok(entries)
}
