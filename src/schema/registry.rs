//! Registry of schemas by owner and name: from the configured folder, and stored over HTTP.
//!
//! A schema stored over HTTP belongs to the caller that stored it, and is a file under the data directory. It is written to a
//! temporary file, synced and renamed, so that a crash never leaves a partial file. Its text is read from there when it is used;
//! compiled schemas are cached.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use throttle::{CallerId, FairSemaphore};
use tokio::task::JoinError;

use super::compiled::Schema;
use super::owned_schemas::{EVERYONE, OwnedSchemas, Quota, STORE_RETRY_AFTER};
use super::schema_folders::{
    FolderSchema, NAME_RULE, RegistryError, is_valid_name, read_configured,
};
use super::stored_schema::{Entry, Source, hash_of, read_text};
use super::version_store::{Version, VersionStore};
use crate::types::{Code, Error, did_you_mean, truncate_for_display};

/// Maximum number of concurrent reads of the data folder. One caller has as many as are free: half of them, if it is the only one.
const MAX_READS: usize = 8;

/// Registry of all schemas.
#[derive(Debug)]
pub struct Registry {
    /// Schemas of the configured folder, which all callers see.
    folder: BTreeMap<String, FolderSchema>,
    /// Schemas stored over HTTP.
    pub(super) stored: OwnedSchemas,
    /// Permit of the only writer: files and entries change in the same order.
    pub(super) writing: FairSemaphore,
    /// Permits of the readers of the data folder.
    pub(super) reading: FairSemaphore,
}

impl Registry {
    /// Loads `*.json` from the folder, if configured. What is in the data directory is loaded when it is used. The folder has
    /// precedence.
    ///
    /// # Errors
    /// If a file of the folder cannot be read, its name is invalid, or it is no usable schema.
    pub fn open(
        folder: Option<&Path>,
        data_dir: &Path,
        quota: Quota,
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            folder: folder.map(read_configured).transpose()?.unwrap_or_default(),
            stored: OwnedSchemas::new(data_dir, quota),
            writing: FairSemaphore::new(1),
            reading: FairSemaphore::leaving_room(MAX_READS),
        })
    }

    /// Drops what is known of the data folder: there may be another one in its place.
    pub fn reload(&self) {
        self.stored.reload();
    }

    /// Returns the schema of this name that `owner` sees: of the configured folder, its own, or one that was stored while there
    /// were no callers. It is looked up on behalf of `caller`.
    ///
    /// # Errors
    /// `overloaded` if the disk cannot be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn entry(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
    ) -> Result<Option<Entry>, Error> {
        if let Some(schema) = self.folder.get(name) {
            return Ok(Some(schema.entry.clone()));
        }
        let found = self.find_stored(caller, owner, name).await?;
        Ok(found.map(|(_, entry)| entry))
    }

    /// Returns the text of the schema that [`Self::entry`] returns.
    ///
    /// # Errors
    /// `overloaded` if the disk cannot be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn text(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
    ) -> Result<Option<String>, Error> {
        if let Some(schema) = self.folder.get(name) {
            return Ok(Some(schema.text.to_string()));
        }
        let Some((owner, _)) = self.find_stored(caller, owner, name).await? else {
            return Ok(None);
        };
        let path = self.stored.path(owner, name);
        match self.read(caller, move || read_text(&path)).await {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let is_deleted =
                    error.kind() == ErrorKind::NotFound && self.stored.find(owner, name).is_none();
                if is_deleted {
                    return Ok(None);
                }
                Err(cannot_read(name, &error))
            }
        }
    }

    /// Returns the message for a name without a schema that `owner` sees, with a name that is near.
    #[must_use]
    pub fn missing(&self, owner: &str, name: &str) -> String {
        let (near, is_any_visible) = self.stored.with_all(|stored| {
            let own = [owner, EVERYONE].map(|owner| stored.get(owner));
            let names = own.into_iter().flatten().flat_map(BTreeMap::keys);
            let mut visible = self
                .folder
                .keys()
                .chain(names)
                .map(String::as_str)
                .peekable();
            let is_any_visible = visible.peek().is_some();
            (did_you_mean(name, visible), is_any_visible)
        });
        let name = truncate_for_display(name);
        let advice = if is_any_visible {
            "see /v1/schemas for all names"
        } else {
            "register it by PUT /v1/schemas/NAME"
        };
        format!("no schema is registered under the name \"{name}\";{near} {advice}")
    }

    /// Returns up to `limit` entries that `owner` sees, ordered by name, starting after `after`, and true if there are more. They are
    /// looked up on behalf of `caller`.
    ///
    /// # Errors
    /// `overloaded` if the disk cannot be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn list(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, Entry)>, bool), Error> {
        for owner in [owner, EVERYONE] {
            self.load(caller, owner).await?;
        }
        Ok(self.visible(owner, after, limit))
    }

    /// Returns a page of the loaded entries that `owner` sees.
    fn visible(
        &self,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(String, Entry)>, bool) {
        self.stored.with_all(|stored| {
            let mut visible: BTreeMap<&String, &Entry> = BTreeMap::new();
            for names in [stored.get(EVERYONE), stored.get(owner)] {
                visible.extend(names.into_iter().flatten());
            }
            let folder = self.folder.iter();
            visible.extend(folder.map(|(name, schema)| (name, &schema.entry)));
            let mut rest = visible
                .into_iter()
                .skip_while(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
            let page = rest
                .by_ref()
                .take(limit)
                .map(|(name, entry)| (name.clone(), entry.clone()))
                .collect();
            (page, rest.next().is_some())
        })
    }

    /// Stores a schema of `owner` on behalf of `caller`; it is on disk when this returns. Returns its entry, and true if the name
    /// is new. A text that is stored already is not written again.
    ///
    /// # Errors
    /// `invalid_request` for an invalid name, `conflict` for a name of the configured folder, `quota_exceeded` if the owner has
    /// as many schemas as it may, `overloaded` if the disk does not take it, or may lose it when the power fails: then it is used even
    /// so.
    ///
    /// # Cancel safety
    /// A started change completes in the background.
    pub async fn put(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &str,
        name: &str,
        schema: &Arc<Schema>,
    ) -> Result<(Entry, bool), Error> {
        if !is_valid_name(name) {
            return Err(Error::new(Code::InvalidRequest, NAME_RULE));
        }
        self.check_changeable(name)?;
        let entry = Entry::new(schema.raw().get(), crate::types::clock::now(), Source::Api);
        self.load(caller, owner).await?;
        let own = self.stored.find(owner, name);
        if let Some(unchanged) = own.filter(|own| own.is_synced && own.hash == entry.hash) {
            return Ok((unchanged, false));
        }
        let schema = Arc::clone(schema);
        self.change(caller, owner, name, move |registry, owner, name| {
            registry
                .stored
                .store(owner, name, entry, schema.raw().get())
        })
        .await
    }

    /// Deletes a schema of `owner` on behalf of `caller`, also from disk. Returns false if the owner has no schema of this name.
    ///
    /// # Errors
    /// `conflict` for a name of the configured folder, `overloaded` if the disk does not take the change, or may lose it when the power
    /// fails: then the schema is gone until then.
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
            registry.stored.delete(owner, name)
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
        if let Some(schema) = self.folder.get(name) {
            return Ok(Some(vec![Version::from(&schema.entry)]));
        }
        let Some((owner, current)) = self.find_stored(caller, owner, name).await? else {
            return Ok(None);
        };
        let store = VersionStore::of_schema_file(&self.stored.path(owner, name));
        let earlier = self.read(caller, move || store.list()).await;
        let mut earlier = earlier.map_err(|error| cannot_read(name, &error))?;
        // The current text may be among them, if its version could not be removed.
        earlier.retain(|version| version.hash != current.hash);
        let mut versions = vec![Version::from(&current)];
        versions.append(&mut earlier);
        Ok(Some(versions))
    }

    /// Returns the text of the version with this hash of the schema of this name that `owner` sees. It is read on behalf of `caller`.
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
    ) -> Result<Option<String>, Error> {
        if let Some(schema) = self.folder.get(name) {
            let is_current = schema.entry.hash == hash;
            return Ok(is_current.then(|| schema.text.to_string()));
        }
        let Some((owner, current)) = self.find_stored(caller, owner, name).await? else {
            return Ok(None);
        };
        let path = self.stored.path(owner, name);
        let (wanted, is_current) = (hash.to_owned(), current.hash == hash);
        let read = self.read(caller, move || {
            if is_current {
                let text = read_text(&path)?;
                if hash_of(&text) == wanted {
                    return Ok(text);
                }
            }
            VersionStore::of_schema_file(&path).version(&wanted)
        });
        match read.await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound && !is_current => Ok(None),
            Err(error) => Err(cannot_read(name, &error)),
        }
    }

    /// Returns the schema of this name that was stored over HTTP and that `owner` sees, with its owner.
    async fn find_stored<'o>(
        self: &Arc<Self>,
        caller: CallerId,
        owner: &'o str,
        name: &str,
    ) -> Result<Option<(&'o str, Entry)>, Error> {
        for owner in [owner, EVERYONE] {
            self.load(caller, owner).await?;
            if let Some(entry) = self.stored.find(owner, name) {
                return Ok(Some((owner, entry)));
            }
        }
        Ok(None)
    }

    /// Loads the schemas of an owner on behalf of `caller`, unless they are loaded.
    async fn load(self: &Arc<Self>, caller: CallerId, owner: &str) -> Result<(), Error> {
        if self.stored.is_loaded(owner) {
            return Ok(());
        }
        let (registry, folder_owner) = (Arc::clone(self), owner.to_owned());
        let loaded = self.read(caller, move || registry.stored.load(&folder_owner));
        loaded.await.map_err(|error| cannot_load(owner, &error))
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
            let loaded = registry.stored.load(&owner);
            loaded.map_err(|error| cannot_load(&owner, &error))?;
            work(&registry, &owner, &name)
        });
        changed
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the schema could not be stored")))
    }

    /// Reads the data folder on the blocking pool, in turns of the callers.
    async fn read<T: Send + 'static>(
        &self,
        caller: CallerId,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let read = in_turn(&self.reading, caller, work).await;
        read.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
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

/// Logs a failed read, and returns the error of the request.
fn cannot_read(name: &str, error: &std::io::Error) -> Error {
    tracing::error!(%error, name, "a registered schema could not be read");
    let detail = format!("the schema could not be read from the data folder: {error}");
    Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
}

/// Logs that a folder of schemas could not be read, and returns the error of the request.
fn cannot_load(owner: &str, error: &std::io::Error) -> Error {
    tracing::error!(%error, owner, "the registered schemas of an owner could not be read");
    let detail = format!("the registered schemas could not be read from the data folder: {error}");
    Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER)
}
