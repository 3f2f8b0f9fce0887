//! Result cache: results of earlier items for equal ones, in memory, bounded in bytes and in age (LRU with a TTL).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cache_key::CacheKey;
use crate::types::{SharedValue, Success, WeakValue, parsed_size};
use throttle::PooledMemory;

/// Size and lifetime of the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Maximum size of keys, results and overhead, in bytes.
    pub max_bytes: usize,
    /// Lifetime of a result.
    pub ttl: Duration,
}

/// Overhead of an entry beside its text, in bytes: its key twice, its counters, its links.
const ENTRY_BYTES: usize = 256;

/// Result in the cache.
#[derive(Debug)]
pub struct CachedSuccess {
    /// As JSON: a parsed value takes several times as much.
    data: Box<[u8]>,
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
    pub fn parsed_bytes(&self) -> usize {
        parsed_size(&self.data)
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
    entries: moka::sync::Cache<CacheKey, Arc<CachedSuccess>>,
    max_bytes: usize,
}

/// Fraction of the cache from which on an entry triggers eviction at once, instead of later in moka's own time.
const PROMPT_EVICTION_FRACTION: usize = 64;

/// Fill level of the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    pub entries: u64,
    pub size_bytes: u64,
}

impl Cache {
    pub fn new(config: CacheConfig) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(config.max_bytes as u64)
            .weigher(|_, cached: &Arc<CachedSuccess>| {
                u32::try_from(cached.size_bytes()).unwrap_or(u32::MAX)
            })
            .time_to_live(config.ttl)
            .build();
        Self {
            entries,
            max_bytes: config.max_bytes,
        }
    }

    /// Returns a result.
    pub fn get(&self, key: &CacheKey) -> Option<Arc<CachedSuccess>> {
        self.entries.get(key)
    }

    /// Returns true if there is a result for the key.
    pub fn contains(&self, key: &CacheKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Stores a result, unless it is larger than the cache.
    pub fn put(&self, key: CacheKey, success: &Success) {
        // A value has only string keys, so it cannot fail.
        let Ok(data) = serde_json::to_vec(&*success.data) else {
            return;
        };
        let cached = CachedSuccess {
            data: data.into(),
            shared: Mutex::new(success.data.downgrade()),
            model: Arc::clone(&success.model),
            repairs: success.repairs.clone(),
        };
        let size_bytes = cached.size_bytes();
        if size_bytes > self.max_bytes {
            self.entries.invalidate(&key);
            return;
        }
        self.entries.insert(key, Arc::new(cached));
        if size_bytes > self.max_bytes / PROMPT_EVICTION_FRACTION {
            self.entries.run_pending_tasks();
        }
    }

    /// Returns the fill level, after pending evictions.
    pub fn stats(&self) -> CacheStats {
        self.entries.run_pending_tasks();
        CacheStats {
            entries: self.entries.entry_count(),
            size_bytes: self.entries.weighted_size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        cache.put([1; 32], &stored);
        let expected = Some(Success {
            cached: true,
            ..stored.clone()
        });
        let cached = cache.get(&[1; 32]).unwrap();
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
        assert!(cache.get(&[2; 32]).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_size_and_ttl() {
        let cache = Cache::new(CacheConfig {
            max_bytes: 10_000,
            ttl: Duration::from_millis(50),
        });
        let text = "x".repeat(500);
        for n in 0..200 {
            cache.put([n; 32], &success(&text));
        }
        let stats = cache.stats();
        assert!(stats.size_bytes <= 10_000 && stats.entries > 0, "{stats:?}");
        std::thread::sleep(Duration::from_millis(60));
        assert!((0..200).all(|n| cache.get(&[n; 32]).is_none()));
    }
}
