//! Schemas that were stored over HTTP, by owner.
//!
//! The names and hashes of an owner's schemas are loaded when they are first needed, and the texts are not: neither the start nor
//! the memory of the process depends on how much all callers have stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::schema_folders::{Names, read_stored};
use super::stored_schema::Entry;
use super::version_store::{VersionStore, remove_oldest};
use crate::private_files::{create_folders, remove_file, replace_file, sync_folder};
use crate::types::{Code, Error};

/// Owner of the schemas that all callers share.
pub const EVERYONE: &str = "";
/// First character of the folder of an owner. No file of a schema begins with it.
const OWNER_MARK: char = '@';

/// Time after which a failed use of the disk may be repeated.
pub const STORE_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Limits of the schemas that a caller may store over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Maximum number of schemas.
    pub schemas: usize,
    /// Maximum size of all schemas together, in bytes. Their earlier versions take what is left of it.
    pub bytes: usize,
}

/// Schemas in the data folder.
#[derive(Debug)]
pub struct OwnedSchemas {
    /// Data folder, which is created at the start of the server only: one that is gone must not be replaced by an empty one.
    data_dir: PathBuf,
    /// Folder of the schemas, within the data folder.
    dir: PathBuf,
    loaded: RwLock<Loaded>,
    /// Syncs the folder of a schema that was written or removed.
    pub sync: fn(&Path) -> std::io::Result<()>,
    quota: Quota,
}

/// Schemas that were loaded.
#[derive(Debug, Default)]
struct Loaded {
    /// Number of times that all were dropped, to be loaded anew.
    reloads: u64,
    owners: BTreeMap<String, Names>,
}

impl OwnedSchemas {
    /// Returns the schemas of a data folder, which need not be there yet. Loads none.
    pub fn new(data_dir: &Path, quota: Quota) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            dir: data_dir.join("schemas"),
            loaded: RwLock::default(),
            sync: sync_folder,
            quota,
        }
    }

    /// Returns the folder of an owner's schemas.
    fn folder(&self, owner: &str) -> PathBuf {
        if owner == EVERYONE {
            self.dir.clone()
        } else {
            self.dir.join(format!("{OWNER_MARK}{owner}"))
        }
    }

    /// Returns the file of a schema.
    pub fn path(&self, owner: &str, name: &str) -> PathBuf {
        self.folder(owner).join(format!("{name}.json"))
    }

    /// Returns true if the schemas of an owner need not be loaded.
    pub fn is_loaded(&self, owner: &str) -> bool {
        self.lock().owners.contains_key(owner)
    }

    /// Loads the schemas of an owner, unless they are loaded. Waits for the disk.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn load(&self, owner: &str) -> std::io::Result<()> {
        loop {
            let reloads = {
                let loaded = self.lock();
                if loaded.owners.contains_key(owner) {
                    return Ok(());
                }
                loaded.reloads
            };
            let folder = self.folder(owner);
            let mut names = read_stored(&folder)?;
            if names.is_empty() && !self.data_dir.is_dir() {
                // It may come, and then they are there.
                return Ok(());
            }
            sync_found(&folder, &mut names);
            let mut loaded = self.lock_mut();
            if loaded.reloads == reloads {
                // Another load may have finished meanwhile, and its schemas may have changed since.
                loaded.owners.entry(owner.to_owned()).or_insert(names);
                return Ok(());
            }
        }
    }

    /// Drops what was loaded, so that it is loaded anew.
    pub fn reload(&self) {
        let mut loaded = self.lock_mut();
        loaded.reloads += 1;
        loaded.owners.clear();
    }

    /// Returns the schema of this name that `owner` itself stored, if it is loaded.
    pub fn find(&self, owner: &str, name: &str) -> Option<Entry> {
        self.lock().owners.get(owner)?.get(name).cloned()
    }

    /// Calls `look` with the loaded schemas by owner.
    pub fn with_all<T>(&self, look: impl FnOnce(&BTreeMap<String, Names>) -> T) -> T {
        look(&self.lock().owners)
    }

    /// Calls `look` with the loaded schemas of an owner.
    fn with<T>(&self, owner: &str, look: impl FnOnce(&Names) -> T) -> T {
        let none = Names::new();
        self.with_all(|owners| look(owners.get(owner).unwrap_or(&none)))
    }

    /// Writes a schema, and its predecessor as a version, as the only writer.
    ///
    /// # Errors
    /// `quota_exceeded` if the owner has as many schemas as it may, `overloaded` if the disk does not take it, or may lose it.
    pub fn store(
        &self,
        owner: &str,
        name: &str,
        mut entry: Entry,
        text: &str,
    ) -> Result<(Entry, bool), Error> {
        self.check_quota(owner, name, entry.bytes)?;
        let (folder, path) = (self.folder(owner), self.path(owner, name));
        let data_dir = &self.data_dir;
        let versions = VersionStore::of_schema_file(&path);
        let replaced = self.find(owner, name);
        let replaced = replaced.filter(|replaced| replaced.hash != entry.hash);
        let write = || {
            if let Some(replaced) = &replaced {
                versions.keep(data_dir, &path, replaced.updated_at)?;
            }
            create_folders(data_dir, &folder)?;
            replace_file(&path, text, None)
        };
        write().map_err(|error| cannot_store(name, &error))?;
        // From here on, it is what would be loaded.
        let synced = (self.sync)(&folder);
        versions.forget(&entry.hash);
        entry.is_synced = synced.is_ok();
        entry.version_bytes = versions.bytes();
        let is_new = self.insert(owner, name, entry.clone());
        self.bound_versions(owner);
        synced.map_err(|error| cannot_store(name, &error))?;
        Ok((entry, is_new))
    }

    /// Deletes a schema with its versions, as the only writer. Returns false if the owner has no schema of this name.
    ///
    /// # Errors
    /// `overloaded` if the disk does not take the change, or may lose it.
    pub fn delete(&self, owner: &str, name: &str) -> Result<bool, Error> {
        if self.find(owner, name).is_none() {
            return Ok(false);
        }
        let path = self.path(owner, name);
        let remove = || {
            VersionStore::of_schema_file(&path).remove()?;
            remove_file(&path)
        };
        let is_removed = remove().map_err(|error| cannot_store(name, &error))?;
        // At once: until then, reads of it fail.
        if is_removed {
            self.remove(owner, name);
        }
        // Fails if the folder itself is gone, with which the schema may come back.
        let synced = (self.sync)(&self.folder(owner));
        if synced.is_ok() {
            self.remove(owner, name);
        }
        synced.map_err(|error| cannot_store(name, &error))?;
        Ok(true)
    }

    /// Inserts an entry. Returns true if the name is new.
    fn insert(&self, owner: &str, name: &str, entry: Entry) -> bool {
        // If the owner's schemas are not loaded yet, a later load finds this one.
        let mut loaded = self.lock_mut();
        let names = loaded.owners.get_mut(owner);
        names.is_none_or(|names| names.insert(name.to_owned(), entry).is_none())
    }

    /// Removes an entry.
    fn remove(&self, owner: &str, name: &str) {
        if let Some(names) = self.lock_mut().owners.get_mut(owner) {
            names.remove(name);
        }
    }

    /// Removes the oldest versions of an owner's schemas, from disk, until they take no more together with the schemas than the owner may
    /// store.
    fn bound_versions(&self, owner: &str) {
        let (of_schemas, of_versions) = self.with(owner, |names| {
            let of_schemas: u64 = names.values().map(|entry| entry.bytes as u64).sum();
            let of_versions: u64 = names.values().map(|entry| entry.version_bytes).sum();
            (of_schemas, of_versions)
        });
        let max_bytes = (self.quota.bytes as u64).saturating_sub(of_schemas);
        if of_versions <= max_bytes {
            return;
        }
        let versioned: Vec<_> = self.with(owner, |names| {
            let with_versions = names.iter().filter(|(_, entry)| entry.version_bytes > 0);
            with_versions.map(|(name, _)| name.clone()).collect()
        });
        let stores: Vec<_> = versioned
            .iter()
            .map(|name| VersionStore::of_schema_file(&self.path(owner, name)))
            .collect();
        let left = remove_oldest(&stores, max_bytes);
        let mut loaded = self.lock_mut();
        let Some(names) = loaded.owners.get_mut(owner) else {
            return;
        };
        for (name, bytes) in versioned.iter().zip(left) {
            if let Some(entry) = names.get_mut(name) {
                entry.version_bytes = bytes;
            }
        }
    }

    fn check_quota(&self, owner: &str, name: &str, bytes: usize) -> Result<(), Error> {
        let (others, held) = self.with(owner, |names| {
            let others = names.iter().filter(|(other, _)| *other != name);
            others.fold((0, 0), |(count, held), (_, entry)| {
                (count + 1, held + entry.bytes)
            })
        });
        let Quota {
            schemas: max_schemas,
            bytes: max_bytes,
        } = self.quota;
        if others < max_schemas && held + bytes <= max_bytes {
            return Ok(());
        }
        let detail = format!(
            "a caller may store {max_schemas} schemas (`schemas.max_per_caller`) of {max_bytes} bytes together \
             (`schemas.max_bytes_per_caller`); delete some that are no longer used"
        );
        Err(Error::new(Code::QuotaExceeded, detail))
    }

    fn lock(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, Loaded> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs a folder whose schemas were read: the process that changed it may have ended before. Schemas that a power failure may
/// take are marked: they are written again by the next request that stores them.
fn sync_found(folder: &Path, names: &mut Names) {
    if !folder.is_dir() {
        return;
    }
    if let Err(error) = sync_folder(folder) {
        let folder = folder.display();
        tracing::warn!(%error, %folder, "the folder of registered schemas could not be synced: a power failure may undo its last change");
        for entry in names.values_mut() {
            entry.is_synced = false;
        }
    }
}

/// Logs a failed write, and returns the error of the request.
fn cannot_store(name: &str, error: &std::io::Error) -> Error {
    tracing::error!(%error, name, "a registered schema could not be written or removed");
    let detail = format!("the schema could not be written to the data folder: {error}");
    Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
}
