//! Positions in a text of the words that are searched for.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::tokens::Tokens;

/// Hasher for keys that are hashes already.
#[derive(Default)]
pub struct KeepHash(u64);

impl Hasher for KeepHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8)) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, key: u32) {
        self.0 = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub type HashedMap<V> = HashMap<u32, V, BuildHasherDefault<KeepHash>>;

/// Token numbers of each word that is searched for, in order.
#[derive(Debug, Default)]
pub struct Positions(HashedMap<Vec<u32>>);

impl Positions {
    /// Finds each wanted word, in one pass over the tokens.
    pub fn new(tokens: &Tokens, wanted: &[u32]) -> Self {
        let mut found: HashedMap<Vec<u32>> = HashMap::default();
        // Most words are not wanted: a bit for each class of hashes says so sooner than the map.
        let mut filter = [0_u64; 64];
        let slot = |hash: u32| ((hash >> 26) as usize, 1_u64 << ((hash >> 20) & 63));
        for hash in wanted {
            found.entry(*hash).or_default();
            let (word, bit) = slot(*hash);
            if let Some(word) = filter.get_mut(word) {
                *word |= bit;
            }
        }
        let is_wanted = |hash: u32| {
            let (word, bit) = slot(hash);
            filter.get(word).is_some_and(|word| word & bit != 0)
        };
        let mut counts: HashedMap<usize> = HashMap::default();
        for hash in tokens.hashes().iter().filter(|hash| is_wanted(**hash)) {
            *counts.entry(*hash).or_default() += 1;
        }
        for (hash, places) in &mut found {
            places.reserve_exact(counts.get(hash).copied().unwrap_or_default());
        }
        drop(counts);
        for (token, hash) in (0_u32..).zip(tokens.hashes()) {
            if is_wanted(*hash)
                && let Some(places) = found.get_mut(hash)
            {
                places.push(token);
            }
        }
        Self(found)
    }

    pub fn tokens_with(&self, hash: u32) -> &[u32] {
        self.0.get(&hash).map_or(&[], Vec::as_slice)
    }
}
