//! Cache of compiled schemas by their text: callers send the same schema with every request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schema_dialect::{References, references_in};
use throttle::{CallerId, MemoryLedger, MemoryReservation};
use tokio::time::Instant;

use super::compiled::{self, Schema};
use super::error_messages::invalid;
use super::stored_schema::hash_of;
use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker, spawn_long};
use crate::types::Error;

/// Maximum number of schemas.
const MAX_SCHEMAS: usize = 128;
/// Maximum memory of the cached schemas, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Part of the memory that callers share which cached schemas may take at most: an eighth.
const MEMORY_FRACTION: usize = 8;
/// Time after which a schema that is not used makes room for requests. Compiling it again as seldom costs little.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Maximum length of a cached text, in bytes; longer ones are compiled each time.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Maximum length of a text that is compiled inline, in bytes. Longer ones and those with regular expressions are long work.
const QUICK_TEXT_BYTES: usize = 8 * 1024;
/// The same of a text with references: what they lead to is read once for each of the schemas around it, and searched for contradictions
/// with each that refers to it.
const QUICK_REFERRING_BYTES: usize = 1024;
/// Bytes of other long work, such as parsing, that take as long as compiling one byte of a schema.
const WORK_PER_BYTE: usize = 16;

#[derive(Debug)]
struct Entry {
    schema: Arc<Schema>,
    /// Caller that it was compiled for.
    caller: CallerId,
    used_at: Instant,
    /// Number of the last use, which no other entry has.
    last_use: u64,
}

#[derive(Debug)]
struct Entries {
    by_text: HashMap<Box<str>, Entry>,
    /// Number of uses so far.
    uses: u64,
    /// Maximum memory of all schemas, in bytes. One schema has half of it at most.
    max_bytes: usize,
}

/// Cache of the up to 128 most recently used schemas, which take up to 64 MiB and an eighth of the memory of all callers together. When it
/// is full, the schemas of a caller that has more than half of it go first. What is made of a schema while it is cached counts from the
/// next request on. Schemas that are not used make room for requests.
#[derive(Debug)]
pub struct Cache(Arc<Mutex<Entries>>);

impl Cache {
    /// Creates the cache of a memory budget, which drops unused schemas when there is no room.
    #[must_use]
    pub fn new(ledger: &MemoryLedger) -> Self {
        let cache = Arc::new(Mutex::new(Entries {
            by_text: HashMap::new(),
            uses: 0,
            max_bytes: MAX_BYTES.min(ledger.shared_bytes() / MEMORY_FRACTION),
        }));
        let weak = Arc::downgrade(&cache);
        ledger.set_reclaim(move || {
            if let Some(cache) = weak.upgrade() {
                Self(cache).drop_unused();
            }
        });
        Self(cache)
    }

    /// Returns the schema of this text, compiling it if it is not cached. Compiling enlarges `memory` before it takes any; the schema
    /// holds what it needs of it until it is neither used nor cached.
    ///
    /// # Errors
    /// As [`Schema::compile_within`].
    pub async fn get(&self, text: &str, memory: MemoryReservation) -> Result<Arc<Schema>, Error> {
        // Longer texts are never kept, and take long to hash.
        let is_kept = text.len() <= MAX_TEXT_BYTES;
        if let Some(schema) = is_kept.then(|| self.find(text)).flatten() {
            return Ok(schema);
        }
        let caller = memory.caller();
        let schema = Arc::new(compile(text, memory).await?);
        if is_kept {
            self.keep(text, &schema, caller);
        }
        Ok(schema)
    }

    /// Returns the cached schema of a registered text with this hash, which need not be read from the disk then.
    #[must_use]
    pub fn find_registered(&self, hash: &str) -> Option<Arc<Schema>> {
        let found = self.lock().find_registered(hash)?;
        // It counts as used, if it is kept by the same text.
        self.find(found.raw().get())
    }

    /// Returns the schema of a registered text as [`Self::get`] does, for [`Self::find_registered`] by this hash. If that is not the
    /// text's, which was replaced meanwhile, it is not found by it.
    ///
    /// # Errors
    /// As [`Schema::compile_within`].
    pub async fn get_registered(
        &self,
        hash: String,
        text: &str,
        memory: MemoryReservation,
    ) -> Result<Arc<Schema>, Error> {
        let schema = self.get(text, memory).await?;
        if text.len() <= MAX_TEXT_BYTES && hash_of(text) == hash {
            schema.registered_hash.get_or_init(|| hash);
        }
        Ok(schema)
    }

    fn find(&self, text: &str) -> Option<Arc<Schema>> {
        let mut entries = self.lock();
        let found = entries.find(text)?;
        let evicted = entries.evict();
        drop(entries);
        drop_schemas(evicted);
        Some(found)
    }

    fn keep(&self, text: &str, schema: &Arc<Schema>, caller: CallerId) {
        let evicted = self.lock().keep(text, schema, caller);
        drop_schemas(evicted);
    }

    /// Drops the schemas that only the cache has, and that were not used for [`IDLE_TIME`].
    fn drop_unused(&self) {
        let unused = self.lock().take(Entry::is_unused);
        drop_schemas(unused);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.schema) == 1 && self.used_at.elapsed() >= IDLE_TIME
    }

    fn bytes(&self) -> usize {
        self.schema.memory_bytes()
    }
}

impl Entries {
    fn find(&mut self, text: &str) -> Option<Arc<Schema>> {
        let entry = self.by_text.get_mut(text)?;
        self.uses += 1;
        (entry.used_at, entry.last_use) = (Instant::now(), self.uses);
        Some(Arc::clone(&entry.schema))
    }

    fn find_registered(&self, hash: &str) -> Option<Arc<Schema>> {
        let found = self.by_text.values().find(|entry| {
            let registered = entry.schema.registered_hash.get();
            registered.is_some_and(|registered| registered == hash)
        });
        found.map(|entry| Arc::clone(&entry.schema))
    }

    /// Adds a schema. Returns those for which there is no room any more.
    fn keep(&mut self, text: &str, schema: &Arc<Schema>, caller: CallerId) -> Vec<Arc<Schema>> {
        self.uses += 1;
        let entry = Entry {
            schema: Arc::clone(schema),
            caller,
            used_at: Instant::now(),
            last_use: self.uses,
        };
        let replaced = self.by_text.insert(text.into(), entry);
        let mut evicted = self.evict();
        evicted.extend(replaced.map(|entry| entry.schema));
        evicted
    }

    /// Removes schemas until the others fit. Returns them.
    fn evict(&mut self) -> Vec<Arc<Schema>> {
        let max_bytes = self.max_bytes;
        let mut evicted = self.take(|entry| entry.bytes() > max_bytes / 2);
        while self.by_text.len() > MAX_SCHEMAS {
            evicted.extend(self.evict_one(|_| 1));
        }
        while self.by_text.values().map(Entry::bytes).sum::<usize>() > max_bytes {
            evicted.extend(self.evict_one(Entry::bytes));
        }
        evicted
    }

    /// Removes the least recently used schema; that of a caller whose schemas have more than half of all sizes, if there is one.
    fn evict_one(&mut self, size: impl Fn(&Entry) -> usize) -> Vec<Arc<Schema>> {
        let mut by_caller: BTreeMap<CallerId, usize> = BTreeMap::new();
        for entry in self.by_text.values() {
            *by_caller.entry(entry.caller).or_default() += size(entry);
        }
        let total: usize = by_caller.values().sum();
        let largest = by_caller.into_iter().find(|(_, own)| own * 2 > total);
        let candidates = self
            .by_text
            .values()
            .filter(|entry| largest.is_none_or(|(caller, _)| entry.caller == caller));
        let oldest = candidates.map(|entry| entry.last_use).min();
        self.take(|entry| Some(entry.last_use) == oldest)
    }

    /// Removes some schemas, and returns them: dropping them may take milliseconds, and is not to be done under the lock.
    fn take(&mut self, is_taken: impl Fn(&Entry) -> bool) -> Vec<Arc<Schema>> {
        let taken = self.by_text.extract_if(|_, entry| is_taken(entry));
        taken.map(|(_, entry)| entry.schema).collect()
    }
}

/// Drops schemas, off the worker if that may take long.
fn drop_schemas(schemas: Vec<Arc<Schema>>) {
    let bytes: usize = schemas.iter().map(|schema| schema.memory_bytes()).sum();
    run_off_worker(bytes >= compiled::SLOW_DROP_BYTES, || drop(schemas));
}

/// Returns the long work that compiling a text is, in bytes; `None` if it takes less than about a millisecond.
fn work_bytes(text: &str) -> Option<usize> {
    let references = references_in(text);
    // An escape may hide a keyword.
    let has_word = ["pattern", "\\u"].iter().any(|word| text.contains(word));
    let may_take_any_time = has_word || references == References::Dynamic;
    let quick_bytes = match references {
        References::None => QUICK_TEXT_BYTES,
        References::Fixed | References::Dynamic => QUICK_REFERRING_BYTES,
    };
    let is_quick = text.len() <= quick_bytes && !may_take_any_time;
    // One that is too long is refused at once.
    if is_quick || text.len() > compiled::MAX_TEXT_BYTES {
        return None;
    }
    let of_any_time = if may_take_any_time {
        LONG_TEXT_BYTES
    } else {
        0
    };
    Some(text.len() * WORK_PER_BYTE + of_any_time)
}

/// Compiles a schema, as long work if that may take longer than about a millisecond.
async fn compile(text: &str, memory: MemoryReservation) -> Result<Schema, Error> {
    let (owned, caller) = (text.to_owned(), memory.caller());
    compile_as_work(text, caller, move || Schema::compile_within(&owned, memory)).await
}

/// Does work that takes as long as compiling a text, as long work if that may be longer than about a millisecond.
pub(super) async fn compile_as_work<T: Send + 'static>(
    text: &str,
    caller: CallerId,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let Some(bytes) = work_bytes(text) else {
        return work();
    };
    spawn_long(Piece { caller, bytes }, work)
        .await
        .unwrap_or_else(|_| Err(invalid("", "could not be compiled")))
}

#[cfg(test)]
mod tests;
