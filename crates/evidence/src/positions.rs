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

/// Share of the text's words from which a word is frequent: one in so many.
const FREQUENT_SHARE: usize = 8;

/// Places that are kept of any word, however frequent.
const FEWEST_KEPT: usize = 256;

/// Token numbers of each word that is searched for, in order.
///
/// Of a frequent word only the first are kept, so that a text of few different words needs no more memory than prose.
#[derive(Debug, Default)]
pub struct Positions(HashedMap<Places>);

/// Places of one word.
#[derive(Debug, Default)]
struct Places {
    count: usize,
    kept: Vec<u32>,
}

impl Positions {
    /// Finds each wanted word, in two passes over the tokens.
    pub fn new(tokens: &Tokens, wanted: &[u32]) -> Self {
        let mut found: HashedMap<Places> = HashMap::default();
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
        for hash in tokens.hashes().iter().filter(|hash| is_wanted(**hash)) {
            if let Some(places) = found.get_mut(hash) {
                places.count += 1;
            }
        }
        let most = FEWEST_KEPT.max(tokens.len() / FREQUENT_SHARE);
        for places in found.values_mut() {
            let kept = if places.count > most {
                FEWEST_KEPT
            } else {
                places.count
            };
            places.kept.reserve_exact(kept);
        }
        for (token, hash) in (0_u32..).zip(tokens.hashes()) {
            if is_wanted(*hash)
                && let Some(places) = found.get_mut(hash)
                && places.kept.len() < places.kept.capacity()
            {
                places.kept.push(token);
            }
        }
        Self(found)
    }

    /// Returns how often a word stands in the text.
    pub fn count(&self, hash: u32) -> usize {
        self.0.get(&hash).map_or(0, |places| places.count)
    }

    /// Returns the first places of a word: all of them, unless the word is frequent.
    pub fn first_places(&self, hash: u32) -> &[u32] {
        self.0.get(&hash).map_or(&[], |places| &places.kept)
    }
}
