//! Result cache: results of earlier items for equal ones, in memory, bounded in bytes and in age (LRU with a TTL).

use std::sync::Arc;
use std::time::Duration;

use super::cache_key::CacheKey;
use crate::types::Success;

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

#[derive(Debug)]
struct CachedSuccess {
    /// As JSON: a parsed value takes several times as much.
    data: Box<[u8]>,
    model: Arc<str>,
    repairs: Vec<String>,
}

impl CachedSuccess {
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

    /// Returns a result, marked as cached.
    pub fn get(&self, key: &CacheKey) -> Option<Success> {
        let cached = self.entries.get(key)?;
        let data = serde_json::from_slice(&cached.data).ok()?;
        Some(Success {
            data,
            model: Arc::clone(&cached.model),
            repairs: cached.repairs.clone(),
            cached: true,
        })
    }

    /// Returns true if there is a result for the key.
    pub fn contains(&self, key: &CacheKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Stores a result, unless it is larger than the cache.
    pub fn put(&self, key: CacheKey, success: &Success) {
        // A value has only string keys, so it cannot fail.
        let Ok(data) = serde_json::to_vec(&success.data) else {
            return;
        };
        let cached = CachedSuccess {
            data: data.into(),
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
            data: json!({"text": text}),
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
        cache.put([1; 32], &success("a"));
        assert_eq!(
            cache.get(&[1; 32]),
            Some(Success {
                cached: true,
                ..success("a")
            })
        );
        assert_eq!(cache.get(&[2; 32]), None);
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
