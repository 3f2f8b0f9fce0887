//! Result cache: results of earlier items for equal ones, in memory, bounded in bytes and in age (LRU with a TTL). When it is full, the
//! least recently used results of the caller that has the most go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;

use super::cache_key::CacheKey;
use crate::types::{SharedValue, Success, WeakValue, parsed_size};
use throttle::{CallerId, PooledMemory};

/// Size and lifetime of the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Maximum size of keys, results and overhead, in bytes.
    pub max_bytes: usize,
    /// Lifetime of a result.
    pub ttl: Duration,
}

/// Overhead of an entry beside its text, in bytes: its key twice, its counters, its links.
const ENTRY_BYTES: usize = 320;
/// Maximum number of entries that are removed while the cache is locked: it takes some 50 microseconds.
const MAX_REMOVED: usize = 256;

/// Result in the cache.
#[derive(Debug)]
pub struct CachedSuccess {
    /// As JSON: a parsed value takes several times as much.
    data: Box<[u8]>,
    /// Memory that the parsed value takes, in bytes, at most.
    parsed_bytes: usize,
    /// Value that outcomes have, if any.
    shared: Mutex<WeakValue>,
    model: Arc<str>,
    repairs: Vec<String>,
}

impl CachedSuccess {
    /// Returns the result, marked as cached, if outcomes have its value.
    pub fn shared(&self) -> Option<Success> {
        let shared = self.lock().upgrade();
        shared.map(|data| self.success(data))
    }

    /// Parses the result, marked as cached. `hold` returns the memory of its value.
    pub fn parse(&self, hold: impl FnOnce() -> Option<PooledMemory>) -> Option<Success> {
        let value = serde_json::from_slice(&self.data).ok()?;
        let data = SharedValue::new(value, hold());
        *self.lock() = data.downgrade();
        Some(self.success(data))
    }

    /// Returns the memory that the value takes, in bytes, at most.
    pub const fn parsed_bytes(&self) -> usize {
        self.parsed_bytes
    }

    fn lock(&self) -> MutexGuard<'_, WeakValue> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn success(&self, data: SharedValue) -> Success {
        Success {
            data,
            model: Arc::clone(&self.model),
            repairs: self.repairs.clone(),
            cached: true,
        }
    }

    fn size_bytes(&self) -> usize {
        ENTRY_BYTES
            + self.data.len()
            + self
                .repairs
                .iter()
                .map(|repair| repair.len() + 32)
                .sum::<usize>()
    }
}

/// Results by cache key.
#[derive(Debug)]
pub struct Cache {
    entries: Mutex<Entries>,
    max_bytes: usize,
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Entries {
    size_bytes: usize,
    /// Place and age of each result, in the order in which they were stored.
    stored: LinkedHashMap<CacheKey, Stored>,
    by_caller: BTreeMap<CallerId, CallerEntries>,
}

#[derive(Debug)]
struct Stored {
    /// Caller whose item was called for it.
    caller: CallerId,
    expires_at: Instant,
}

/// Results of one caller.
#[derive(Debug, Default)]
struct CallerEntries {
    size_bytes: usize,
    /// In the order of their last use.
    by_use: LinkedHashMap<CacheKey, Arc<CachedSuccess>>,
}

/// Fill level of the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    pub entries: u64,
    pub size_bytes: u64,
}

impl Cache {
    pub fn new(config: CacheConfig) -> Self {
        Self {
            entries: Mutex::default(),
            max_bytes: config.max_bytes,
            ttl: config.ttl,
        }
    }

    /// Returns a result.
    pub fn get(&self, key: &CacheKey, now: Instant) -> Option<Arc<CachedSuccess>> {
        self.lock().get(key, now)
    }

    /// Returns true if there is a result for the key.
    pub fn contains(&self, key: &CacheKey, now: Instant) -> bool {
        self.lock().find(key, now).is_some()
    }

    /// Stores a result that a caller's item was called for, unless it is larger than the cache, or than what callers with more results leave
    /// to it.
    pub fn put(&self, key: CacheKey, caller: CallerId, success: &Success, now: Instant) {
        // A value has only string keys, so it cannot fail.
        let Ok(data) = serde_json::to_vec(&*success.data) else {
            return;
        };
        let cached = Arc::new(CachedSuccess {
            parsed_bytes: parsed_size(&data),
            data: data.into(),
            shared: Mutex::new(success.data.downgrade()),
            model: Arc::clone(&success.model),
            repairs: success.repairs.clone(),
        });
        let size_bytes = cached.size_bytes();
        if size_bytes > self.max_bytes {
            self.lock().remove(&key);
            return;
        }
        let mut removed = Vec::new();
        loop {
            // What was removed last time is freed before the cache is locked again.
            removed.clear();
            let mut entries = self.lock();
            removed.extend(entries.remove(&key));
            entries.remove_expired(now, &mut removed);
            while removed.len() < MAX_REMOVED
                && entries.size_bytes.saturating_add(size_bytes) > self.max_bytes
            {
                let Some(least) = entries.remove_for(caller, size_bytes) else {
                    return;
                };
                removed.push(least);
            }
            if entries.size_bytes.saturating_add(size_bytes) <= self.max_bytes {
                entries.insert(key, caller, cached, now + self.ttl);
                return;
            }
        }
    }

    /// Returns the fill level.
    pub fn stats(&self, now: Instant) -> CacheStats {
        let mut removed = Vec::new();
        let mut entries = self.lock();
        entries.remove_expired(now, &mut removed);
        CacheStats {
            entries: entries.stored.len() as u64,
            size_bytes: entries.size_bytes as u64,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn find(&self, key: &CacheKey, now: Instant) -> Option<&Stored> {
        let stored = self.stored.get(key);
        stored.filter(|stored| stored.expires_at > now)
    }

    fn get(&mut self, key: &CacheKey, now: Instant) -> Option<Arc<CachedSuccess>> {
        let caller = self.find(key, now)?.caller;
        let own = self.by_caller.get_mut(&caller)?;
        own.by_use.to_back(key).map(|cached| Arc::clone(cached))
    }

    fn insert(
        &mut self,
        key: CacheKey,
        caller: CallerId,
        cached: Arc<CachedSuccess>,
        expires_at: Instant,
    ) {
        let size_bytes = cached.size_bytes();
        self.size_bytes += size_bytes;
        let own = self.by_caller.entry(caller).or_default();
        own.size_bytes += size_bytes;
        own.by_use.insert(key, cached);
        self.stored.insert(key, Stored { caller, expires_at });
    }

    fn remove(&mut self, key: &CacheKey) -> Option<Arc<CachedSuccess>> {
        let Stored { caller, .. } = self.stored.remove(key)?;
        let own = self.by_caller.get_mut(&caller)?;
        let cached = own.by_use.remove(key)?;
        let size_bytes = cached.size_bytes();
        self.size_bytes -= size_bytes;
        own.size_bytes -= size_bytes;
        if own.by_use.is_empty() {
            self.by_caller.remove(&caller);
        }
        Some(cached)
    }

    /// Removes some of the results that have expired.
    fn remove_expired(&mut self, now: Instant, removed: &mut Vec<Arc<CachedSuccess>>) {
        while removed.len() < MAX_REMOVED
            && let Some((key, stored)) = self.stored.front()
            && stored.expires_at <= now
        {
            let key = *key;
            removed.extend(self.remove(&key));
        }
    }

    /// Removes a result for one of `size_bytes` bytes of a caller: the least recently used one of the caller that has the most, this one
    /// included. Returns `None` if that is this caller without any.
    fn remove_for(&mut self, caller: CallerId, size_bytes: usize) -> Option<Arc<CachedSuccess>> {
        let own = self.by_caller.get(&caller);
        let own_bytes = own
            .map_or(0, |own| own.size_bytes)
            .saturating_add(size_bytes);
        let others = self.by_caller.iter().filter(|(other, _)| **other != caller);
        let largest = others.max_by_key(|(_, other)| other.size_bytes);
        let key = match largest {
            Some((_, other)) if other.size_bytes > own_bytes => other.by_use.front(),
            _ => own?.by_use.front(),
        };
        let key = *key?.0;
        self.remove(&key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);
    const CAROL: CallerId = CallerId(3);

    fn success(text: &str) -> Success {
        Success {
            data: json!({"text": text}).into(),
            model: "p/m".into(),
            repairs: vec!["mended".to_owned()],
            cached: false,
        }
    }

    #[test]
    fn a_stored_result_is_returned_and_marked_as_cached() {
        let cache = Cache::new(CacheConfig {
            max_bytes: 1 << 20,
            ttl: Duration::from_secs(60),
        });
        let stored = success("a");
        let now = Instant::now();
        cache.put([1; 32], ALICE, &stored, now);
        let expected = Some(Success {
            cached: true,
            ..stored.clone()
        });
        let cached = cache.get(&[1; 32], now).unwrap();
        assert_eq!(cached.shared(), expected);
        drop((stored, expected));
        assert_eq!(cached.shared(), None);
        let parsed = cached.parse(|| None);
        let is_one = |other: Option<Success>| {
            let (other, parsed) = (other.unwrap(), parsed.as_ref().unwrap());
            std::ptr::addr_eq(&raw const *other.data, &raw const *parsed.data)
        };
        assert!(is_one(cached.shared()), "the value is there once");
        assert_eq!(parsed.as_ref().unwrap().data, success("a").data);
        assert!(cache.get(&[2; 32], now).is_none());
    }

    /// Returns an empty cache of 10,000 bytes, in which results live for a minute.
    fn small_cache() -> Cache {
        Cache::new(CacheConfig {
            max_bytes: 10_000,
            ttl: Duration::from_secs(60),
        })
    }

    #[test]
    fn the_cache_stays_within_its_size_and_ttl() {
        let (cache, now) = (small_cache(), Instant::now());
        let text = "x".repeat(500);
        for n in 0..200 {
            cache.put([n; 32], ALICE, &success(&text), now);
        }
        let stats = cache.stats(now);
        assert!(stats.size_bytes <= 10_000 && stats.entries > 0, "{stats:?}");
        assert!(cache.contains(&[199; 32], now + Duration::from_secs(59)));
        let later = now + Duration::from_secs(60);
        assert!((0..200).all(|n| cache.get(&[n; 32], later).is_none()));
        let nothing = CacheStats {
            entries: 0,
            size_bytes: 0,
        };
        assert_eq!(cache.stats(later), nothing);
    }

    #[test]
    fn results_fill_the_cache_to_the_last_byte() {
        let now = Instant::now();
        let sizes = small_cache();
        sizes.put([1; 32], ALICE, &success("a"), now);
        let size = usize::try_from(sizes.stats(now).size_bytes).unwrap();
        let repaired = Success {
            repairs: vec!["mended".to_owned(); 2],
            ..success("a")
        };
        sizes.put([1; 32], ALICE, &repaired, now);
        let more = usize::try_from(sizes.stats(now).size_bytes).unwrap();
        assert!(more > size, "repairs count");
        for count in [1, 2] {
            let cache = Cache::new(CacheConfig {
                max_bytes: count * size,
                ttl: Duration::from_secs(60),
            });
            for n in 0..=u8::try_from(count).unwrap() {
                cache.put([n; 32], ALICE, &success("a"), now);
            }
            assert_eq!(cache.stats(now).entries, count as u64);
            let last = cache.get(&[u8::try_from(count).unwrap(); 32], now).unwrap();
            assert!(last.parsed_bytes() >= r#"{"text":"a"}"#.len());
        }
    }

    #[test]
    fn the_least_recently_used_result_goes_first() {
        let (cache, now) = (small_cache(), Instant::now());
        let text = "x".repeat(2_000);
        for n in 0..4 {
            cache.put([n; 32], ALICE, &success(&text), now);
        }
        assert!(cache.get(&[0; 32], now).is_some());
        cache.put([4; 32], ALICE, &success(&text), now);
        let left = (0..5).filter(|n| cache.contains(&[*n; 32], now));
        assert!(left.eq([0, 2, 3, 4]));
        // A result that replaces an equal one needs no other room.
        cache.put([3; 32], BOB, &success(&text), now);
        assert_eq!(cache.stats(now).entries, 4);
    }

    #[test]
    fn a_caller_displaces_results_of_callers_with_more_only() {
        let (cache, now) = (small_cache(), Instant::now());
        let text = "x".repeat(1_000);
        for n in 0..2 {
            cache.put([n; 32], BOB, &success(&text), now);
        }
        for n in 10..200 {
            cache.put([n; 32], ALICE, &success(&text), now);
        }
        let has =
            |keys: std::ops::Range<u8>| keys.filter(|n| cache.contains(&[*n; 32], now)).count();
        assert_eq!((has(0..2), has(10..200)), (2, 5));
        for n in 2..10 {
            cache.put([n; 32], BOB, &success(&text), now);
        }
        assert_eq!((has(0..10), has(10..200)), (3, 4), "up to the same number");
        // One that takes more than the others leave is not stored, and removes nothing of theirs.
        cache.put([255; 32], CAROL, &success(&"x".repeat(9_000)), now);
        assert!(!cache.contains(&[255; 32], now));
        assert_eq!((has(0..10), has(10..200)), (3, 4));
        cache.put([254; 32], CAROL, &success(&text), now);
        assert!(cache.contains(&[254; 32], now));
    }

    #[test]
    fn a_large_result_displaces_very_many_small_ones() {
        let cache = Cache::new(CacheConfig {
            max_bytes: 1 << 20,
            ttl: Duration::from_secs(60),
        });
        let now = Instant::now();
        let key = |number: u16| {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&number.to_le_bytes());
            key
        };
        for number in 0..4_000 {
            cache.put(key(number), ALICE, &success(""), now);
        }
        assert!(cache.stats(now).entries > 2_000);
        cache.put([255; 32], ALICE, &success(&"x".repeat(1_000_000)), now);
        assert!(cache.contains(&[255; 32], now));
        assert!(cache.stats(now).size_bytes <= 1 << 20);
        cache.put([254; 32], ALICE, &success(""), now);
        cache.put([255; 32], ALICE, &success(&"x".repeat(2 << 20)), now);
        assert!(
            !cache.contains(&[255; 32], now),
            "it is larger than the cache"
        );
        assert!(cache.contains(&[254; 32], now));
    }
}
