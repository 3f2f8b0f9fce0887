//! Cache of compiled schemas by their text: callers send the same schema with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throttle::{CallerId, MemoryLedger, MemoryReservation};
use tokio::time::Instant;

use super::compiled::{self, Schema};
use super::error_messages::invalid;
use super::stored_schema::hash_of;
use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker, spawn_long};
use crate::types::Error;

/// Maximum number of schemas in each of the two generations.
const GENERATION: usize = 64;
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
/// Bytes of other long work, such as parsing, that take as long as compiling one byte of a schema.
const WORK_PER_BYTE: usize = 16;

type Generation = HashMap<Box<str>, Entry>;

#[derive(Debug)]
struct Entry {
    schema: Arc<Schema>,
    used_at: Instant,
}

#[derive(Debug)]
struct Generations {
    young: Generation,
    old: Generation,
    /// Maximum memory of each of the two, in bytes.
    max_bytes: usize,
}

/// Cache of the up to 128 most recently used schemas, which take up to 64 MiB and an eighth of the memory of all callers together, in two
/// generations. What is made of a schema while it is cached counts from the next request on. Schemas that are not used make room for
/// requests.
#[derive(Debug)]
pub struct Cache(Arc<Mutex<Generations>>);

impl Cache {
    /// Creates the cache of a memory budget, which drops unused schemas when there is no room.
    #[must_use]
    pub fn new(ledger: &MemoryLedger) -> Self {
        let cache = Arc::new(Mutex::new(Generations {
            young: Generation::new(),
            old: Generation::new(),
            max_bytes: MAX_BYTES.min(ledger.shared_bytes() / MEMORY_FRACTION) / 2,
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
        let schema = Arc::new(compile(text, memory).await?);
        if is_kept {
            self.lock().keep(text.into(), Arc::clone(&schema));
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
        let mut generations = self.lock();
        if bytes_of(&generations.young) > generations.max_bytes {
            generations.rotate();
        }
        if let Some(entry) = generations.young.get_mut(text) {
            entry.used_at = Instant::now();
            return Some(Arc::clone(&entry.schema));
        }
        let (text, Entry { schema, .. }) = generations.old.remove_entry(text)?;
        generations.keep(text, Arc::clone(&schema));
        Some(schema)
    }

    /// Drops the schemas that only the cache has, and that were not used for [`IDLE_TIME`].
    fn drop_unused(&self) {
        let mut generations = self.lock();
        let Generations { young, old, .. } = &mut *generations;
        let unused: Vec<_> = [young, old]
            .into_iter()
            .flat_map(|generation| generation.extract_if(|_, entry| entry.is_unused()))
            .collect();
        drop(generations);
        // That may take milliseconds.
        run_off_worker(!unused.is_empty(), || drop(unused));
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.schema) == 1 && self.used_at.elapsed() >= IDLE_TIME
    }
}

impl Generations {
    fn find_registered(&self, hash: &str) -> Option<Arc<Schema>> {
        let mut entries = self.young.values().chain(self.old.values());
        let found = entries.find(|entry| {
            let registered = entry.schema.registered_hash.get();
            registered.is_some_and(|registered| registered == hash)
        });
        found.map(|entry| Arc::clone(&entry.schema))
    }

    fn keep(&mut self, text: Box<str>, schema: Arc<Schema>) {
        let bytes = schema.memory_bytes();
        if bytes > self.max_bytes {
            return;
        }
        let young = &self.young;
        if young.len() >= GENERATION || bytes_of(young) + bytes > self.max_bytes {
            self.rotate();
        }
        let used_at = Instant::now();
        self.young.insert(text, Entry { schema, used_at });
    }

    /// Drops the old generation, and begins a young one.
    fn rotate(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

/// Returns the memory of a generation's schemas, and of what was made of them, in bytes.
fn bytes_of(generation: &Generation) -> usize {
    generation
        .values()
        .map(|entry| entry.schema.memory_bytes())
        .sum()
}

/// Returns the long work that compiling a text is, in bytes; `None` if it takes less than about a millisecond.
fn work_bytes(text: &str) -> Option<usize> {
    // One that is too long is refused at once. An escape may hide a keyword.
    let may_have_patterns = text.contains("pattern") || text.contains("\\u");
    let is_quick = text.len() <= QUICK_TEXT_BYTES && !may_have_patterns;
    if is_quick || text.len() > compiled::MAX_TEXT_BYTES {
        return None;
    }
    let of_patterns = if may_have_patterns {
        LONG_TEXT_BYTES
    } else {
        0
    };
    Some(text.len() * WORK_PER_BYTE + of_patterns)
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
mod tests {
    use throttle::{MemoryUse, NoMemory};

    use super::*;
    use crate::types::Code;

    #[test]
    fn what_may_take_long_is_long_work() {
        assert_eq!(
            work_bytes(r#"{"properties": {"a": {"type": "string"}}}"#),
            None
        );
        for text in [
            r#"{"pattern": "a"}"#.to_owned(),
            r#"{"patter\u006e": "(a|b|ab){36000}"}"#.to_owned(),
            format!(r#"{{"title": "{}"}}"#, "a".repeat(QUICK_TEXT_BYTES)),
        ] {
            assert!(work_bytes(&text) > Some(text.len()), "{text}");
        }
        assert_eq!(work_bytes(&" ".repeat(compiled::MAX_TEXT_BYTES + 1)), None);
    }

    #[tokio::test]
    async fn memory_is_reserved_before_a_schema_is_compiled() {
        let cache = Cache::new(&MemoryLedger::new(1 << 30, 1 << 30));
        let names: Vec<_> = (0..1000).map(|n| format!("\"{n}\"")).collect();
        let text = format!(r#"{{"required": [{}]}}"#, names.join(","));
        let needed = Schema::compiling_bytes(&text);
        let kept = Schema::compile(&text).unwrap().memory_bytes();
        assert!(kept < needed);
        // There is room for what is kept, but not for what compiling takes.
        for (room, is_enough) in [(kept + 1, false), (2 * needed, true)] {
            let ledger = MemoryLedger::new(room, room);
            let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
            let compiled = cache.get(&text, memory).await;
            assert_eq!(compiled.is_ok(), is_enough);
            let held = ledger.snapshot().held;
            match compiled {
                Ok(_) => assert_eq!(held, kept),
                Err(error) => assert_eq!((error.code, held), (Code::PayloadTooLarge, 0)),
            }
        }
        // A pattern's program is reserved before it is made.
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        for pattern in ["^a{2}$", "(?:a|b|ab){20000}"] {
            let text = format!(r#"{{"pattern": "{pattern}"}}"#);
            let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
            let refused = cache.get(&text, memory).await.err();
            let code = refused.map(|error| error.code);
            let expected = Some(Code::PayloadTooLarge).filter(|_| pattern.contains("20000"));
            assert_eq!(code, expected, "{pattern}");
        }
    }

    #[tokio::test]
    async fn what_is_made_of_a_schema_counts() {
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let cache = Cache::new(&ledger);
        let get = || cache.get("{}", ledger.empty(CallerId(1), MemoryUse::Schemas));
        let first = get().await.unwrap();
        first.add_bytes(MAX_BYTES / 4);
        assert!(Arc::ptr_eq(&first, &get().await.unwrap()));
        // It is returned once more, and not kept.
        first.add_bytes(MAX_BYTES / 4);
        assert!(Arc::ptr_eq(&first, &get().await.unwrap()));
        assert!(!Arc::ptr_eq(&first, &get().await.unwrap()));
    }

    /// A caller whose requests have ended leaves its schemas behind.
    #[tokio::test(start_paused = true)]
    async fn unused_schemas_make_room_for_another_caller() {
        const BUDGET: usize = 64 << 20;
        let ledger = MemoryLedger::new(BUDGET, BUDGET);
        ledger.set_has_several_callers(true);
        let cache = Cache::new(&ledger);
        let text = |n: usize| {
            let names: Vec<_> = (0..500).map(|name| format!("\"{n}-{name}\"")).collect();
            format!(r#"{{"required": [{}]}}"#, names.join(","))
        };
        let get = async |n| {
            let memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
            cache.get(&text(n), memory).await.unwrap()
        };
        let in_use = get(0).await;
        for n in 1..100 {
            get(n).await;
        }
        let held = ledger.snapshot().held;
        let cached = held - in_use.memory_bytes();
        assert!((BUDGET / 32..=BUDGET / 8).contains(&cached), "{cached}");
        // As much as there is for a caller while the other one uses a schema.
        let share = BUDGET / 2 - in_use.memory_bytes();
        let reserve = || ledger.reserve(CallerId(2), MemoryUse::RequestBodies, share);
        assert_eq!(reserve().unwrap_err(), NoMemory::ShareUsedUp);
        tokio::time::advance(IDLE_TIME).await;
        let recent = get(98).await.memory_bytes();
        let share = share - 2 * recent;
        let reserved = ledger.reserve(CallerId(2), MemoryUse::RequestBodies, share);
        drop(reserved.unwrap());
        assert_eq!(ledger.snapshot().held, in_use.memory_bytes() + recent);
    }

    #[tokio::test]
    async fn a_cached_schema_is_found_by_the_hash_of_its_registered_text() {
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let cache = Cache::new(&ledger);
        let memory = || ledger.empty(CallerId(1), MemoryUse::Schemas);
        let text = r#"{"type":"string"}"#;
        let hash = hash_of(text);
        let replaced = cache.get_registered(hash_of("{}"), text, memory()).await;
        assert!(cache.find_registered(&hash_of("{}")).is_none());
        assert!(cache.find_registered(&hash).is_none());
        let named = cache.get_registered(hash.clone(), text, memory()).await;
        let found = cache.find_registered(&hash).unwrap();
        assert!(Arc::ptr_eq(&found, &named.unwrap()));
        assert!(Arc::ptr_eq(&found, &replaced.unwrap()));
        // What is found counts as used: it outlives two generations of others.
        for number in 0..3 * GENERATION {
            let other = format!(r#"{{"minimum":{number}}}"#);
            cache.get(&other, memory()).await.unwrap();
            assert!(cache.find_registered(&hash).is_some(), "{number}");
        }
        for number in 0..3 * GENERATION {
            let other = format!(r#"{{"maximum":{number}}}"#);
            cache.get(&other, memory()).await.unwrap();
        }
        assert!(cache.find_registered(&hash).is_none());
    }

    #[tokio::test]
    async fn a_text_that_is_too_long_to_be_kept_is_compiled_each_time() {
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let cache = Cache::new(&ledger);
        for (length, is_kept) in [(100, true), (MAX_TEXT_BYTES, false)] {
            let text = format!(r#"{{"title": "{}"}}"#, "a".repeat(length));
            let get = || cache.get(&text, ledger.empty(CallerId(1), MemoryUse::Schemas));
            let (one, other) = (get().await.unwrap(), get().await.unwrap());
            assert_eq!(Arc::ptr_eq(&one, &other), is_kept);
        }
    }
}
