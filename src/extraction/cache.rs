//! Results of earlier items, for equal ones: bounded in bytes and in age, and gone with the process.

use std::sync::Arc;
use std::time::Duration;

use super::single_flight::Key;
use crate::types::Success;

/// How large the cache may be, and for how long a result is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Of keys, results and what is kept with them, in bytes.
    pub max_bytes: usize,
    pub ttl: Duration,
}

/// What an entry takes beside its text: its key twice, its counters, its links.
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

/// Results by what makes items equal.
#[derive(Debug)]
pub struct Cache {
    kept: moka::sync::Cache<Key, Arc<CachedSuccess>>,
    max_bytes: usize,
}

/// So many entries go in before those that have no room are put out.
const PUT_OUT_AFTER: usize = 64;

/// How full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    pub entries: u64,
    pub size_bytes: u64,
}

impl Cache {
    pub fn new(config: CacheConfig) -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(config.max_bytes as u64)
            .weigher(|_, kept: &Arc<CachedSuccess>| {
                u32::try_from(kept.size_bytes()).unwrap_or(u32::MAX)
            })
            .time_to_live(config.ttl)
            .build();
        Self {
            kept,
            max_bytes: config.max_bytes,
        }
    }

    pub fn get(&self, key: &Key) -> Option<Success> {
        let kept = self.kept.get(key)?;
        let data = serde_json::from_slice(&kept.data).ok()?;
        Some(Success {
            data,
            model: Arc::clone(&kept.model),
            repairs: kept.repairs.clone(),
            cached: true,
        })
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.kept.contains_key(key)
    }

    pub fn put(&self, key: Key, success: &Success) {
        // A value has only string keys, so it cannot fail.
        let Ok(data) = serde_json::to_vec(&success.data) else {
            return;
        };
        let kept = CachedSuccess {
            data: data.into(),
            model: Arc::clone(&success.model),
            repairs: success.repairs.clone(),
        };
        let size_bytes = kept.size_bytes();
        if size_bytes > self.max_bytes {
            self.kept.invalidate(&key);
            return;
        }
        self.kept.insert(key, Arc::new(kept));
        if size_bytes > self.max_bytes / PUT_OUT_AFTER {
            self.kept.run_pending_tasks();
        }
    }

    pub fn stats(&self) -> CacheStats {
        self.kept.run_pending_tasks();
        CacheStats {
            entries: self.kept.entry_count(),
            size_bytes: self.kept.weighted_size(),
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
    fn what_is_put_is_got_and_says_that_it_was_kept() {
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
    fn it_keeps_within_its_bytes_and_its_time() {
        let cache = Cache::new(CacheConfig {
            max_bytes: 10_000,
            ttl: Duration::from_millis(50),
        });
        let text = "x".repeat(500);
        for n in 0..200 {
            cache.put([n; 32], &success(&text));
        }
        let reading = cache.stats();
        assert!(
            reading.size_bytes <= 10_000 && reading.entries > 0,
            "{reading:?}"
        );
        std::thread::sleep(Duration::from_millis(60));
        assert!((0..200).all(|n| cache.get(&[n; 32]).is_none()));
    }
}
