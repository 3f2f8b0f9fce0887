//! Words that differ by a letter: spelling mistakes, endings, and particles that are written on to a word.

use std::collections::HashMap;

use super::date::Words;
use crate::clusters::next_cluster;
use crate::fold::{Marks, fold_into};
use crate::positions::HashedMap;
use crate::tokens::Hash;

/// Most words that are searched for, and most letters of each.
const MOST_WORDS: usize = 1000;
const MOST_LETTERS: usize = 32;

/// Most places that are kept for one word.
const MOST_PLACES: usize = 64;

/// Place of a word that is nearly the wanted one.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub token: u32,
    /// Bytes at the start of the token that do not belong to the word: a particle. 0 for a difference of letters.
    pub particle_bytes: u8,
    /// True for a short word, which alone says too little.
    pub is_weak: bool,
}

/// Places of words that are nearly a wanted one, by the hash of the wanted one.
#[derive(Debug, Default)]
pub struct NearWords(HashedMap<Vec<Place>>);

impl NearWords {
    /// Finds the near words of each wanted word, given with its hash, in one pass over the text.
    ///
    /// Two words are near if they are equal after one letter is left out of either (Garbe's symmetric deletes).
    pub fn new(source: Words, wanted: &HashedMap<String>) -> Self {
        let mut near = Self::default();
        let words: Vec<(u32, Vec<char>)> = wanted
            .iter()
            .map(|(hash, word)| (*hash, word.chars().collect::<Vec<_>>()))
            .filter(|(_, letters)| is_searched(letters))
            .take(MOST_WORDS)
            .collect();
        if words.is_empty() {
            return near;
        }
        let mut table: HashedMap<Vec<u32>> = HashMap::default();
        for (number, (_, letters)) in (0..).zip(&words) {
            deletes(letters, &mut |key| {
                table.entry(key).or_default().push(number);
            });
        }
        let (mut folded, mut letters) = (String::new(), Vec::new());
        for token in 0..source.tokens.len() {
            let word = source.tokens.text(source.text, token);
            if word.len() < 4 || word.len() > 4 * MOST_LETTERS {
                continue;
            }
            folded.clear();
            letters.clear();
            fold_into(word, Marks::Drop, &mut folded);
            letters.extend(folded.chars());
            if !is_searched(&letters) {
                continue;
            }
            near.add_token(token, word, &letters, &words, &table);
        }
        near
    }

    fn add_token(
        &mut self,
        token: usize,
        word: &str,
        letters: &[char],
        words: &[(u32, Vec<char>)],
        table: &HashedMap<Vec<u32>>,
    ) {
        deletes(letters, &mut |key| {
            let numbers = table.get(&key).map_or(&[][..], Vec::as_slice);
            for number in numbers.iter().take(16) {
                let Some((hash, wanted)) = words.get(*number as usize) else {
                    continue;
                };
                let Ok(token) = u32::try_from(token) else {
                    continue;
                };
                let places = self.0.entry(*hash).or_default();
                let is_known = places.last().is_some_and(|place| place.token == token);
                if is_known
                    || places.len() >= MOST_PLACES
                    || Hash::of_word(word).finish() == Some(*hash)
                {
                    continue;
                }
                if letters.get(1..) == Some(wanted) && is_particle(letters) {
                    let particle_bytes = next_cluster(word, 0).map_or(0, str::len);
                    let particle_bytes = u8::try_from(particle_bytes).unwrap_or_default();
                    places.push(Place {
                        token,
                        particle_bytes,
                        is_weak: false,
                    });
                } else if is_near(wanted, letters) {
                    let is_weak = wanted.len().min(letters.len()) < 5
                        && !wanted.first().is_some_and(|c| is_inflected(*c));
                    places.push(Place {
                        token,
                        particle_bytes: 0,
                        is_weak,
                    });
                }
            }
        });
    }

    pub fn places_of(&self, hash: u32) -> &[Place] {
        self.0.get(&hash).map_or(&[], Vec::as_slice)
    }
}

/// Calls `emit` with the hash of a word, of the word without each of its letters, and of its stems.
fn deletes(letters: &[char], emit: &mut impl FnMut(u32)) {
    for skipped in 0..=letters.len() {
        let mut hash = Hash::default();
        for (place, letter) in letters.iter().enumerate() {
            if place != skipped {
                hash.add(*letter);
            }
        }
        hash.finish().into_iter().for_each(&mut *emit);
    }
    let (shortest, most) = stem_limits(letters);
    let mut hash = Hash::default();
    for (place, letter) in letters.iter().enumerate() {
        hash.add(*letter);
        let is_stem =
            place + 1 >= shortest && place + 1 + most >= letters.len() && place + 1 < letters.len();
        hash.finish()
            .filter(|_| is_stem)
            .into_iter()
            .for_each(&mut *emit);
    }
}

fn is_semitic(c: char) -> bool {
    matches!(u32::from(c), 0x05d0..=0x05ea | 0x0620..=0x064a)
}

/// Returns true for letters of languages that decline names: Greek and Cyrillic ones.
fn is_inflected(c: char) -> bool {
    matches!(u32::from(c), 0x0370..=0x04ff)
}

/// Returns the fewest letters of a stem, and the most of an ending.
fn stem_limits(letters: &[char]) -> (usize, usize) {
    if letters.first().is_some_and(|c| is_inflected(*c)) {
        (3, 3)
    } else {
        (6, 4)
    }
}

/// Returns true for words of letters that are long enough to be distinct.
fn is_searched(letters: &[char]) -> bool {
    let is_semitic = letters.first().is_some_and(|c| is_semitic(*c));
    let fewest = if is_semitic { 2 } else { 4 };
    (fewest..=MOST_LETTERS).contains(&letters.len()) && letters.iter().all(|c| !c.is_ascii_digit())
}

/// Returns true if a word starts with a conjunction, article or preposition of one letter, as Arabic and Hebrew write it.
fn is_particle(letters: &[char]) -> bool {
    letters
        .first()
        .is_some_and(|c| "وفبلكסובלכמהש".contains(*c))
        && letters.get(1).is_some_and(|c| is_semitic(*c))
}

/// Returns true if two words that share a delete or a stem are the same word with a mistake or another ending.
fn is_near(wanted: &[char], found: &[char]) -> bool {
    if wanted.first() != found.first() {
        return false;
    }
    let shorter = wanted.len().min(found.len());
    let longer = wanted.len().max(found.len());
    let same = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (shortest, most) = stem_limits(wanted);
    let ending = longer - same;
    // Longer endings only if one word is the beginning of the other, or if the language declines names.
    let is_usual = ending <= 2 || same == shorter || (most < 4 && same >= 5);
    let is_ending = same >= shortest && ending <= most && is_usual;
    is_ending
        || (shorter >= 4 && differs_by_one(wanted, found))
        || (shorter >= 9 && differs_by_two(wanted, found))
}

/// Returns true if two words are equal after one letter is left out of each.
fn differs_by_two(a: &[char], b: &[char]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (
        a.get(same..).unwrap_or_default(),
        b.get(same..).unwrap_or_default(),
    );
    let is_longer_by_one = |short: &[char], long: &[char]| {
        let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
        short.get(same..) == long.get(same + 1..)
    };
    is_longer_by_one(a.get(1..).unwrap_or_default(), b)
        || is_longer_by_one(b.get(1..).unwrap_or_default(), a)
}

/// Returns true for one letter added, left out or replaced, or two neighbours exchanged.
fn differs_by_one(a: &[char], b: &[char]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (
        a.get(same..).unwrap_or_default(),
        b.get(same..).unwrap_or_default(),
    );
    let (rest_a, rest_b) = (
        a.get(1..).unwrap_or_default(),
        b.get(1..).unwrap_or_default(),
    );
    rest_a == rest_b
        || a == rest_b
        || rest_a == b
        || (a
            .get(..2)
            .zip(b.get(..2))
            .is_some_and(|(a, b)| a.iter().eq(b.iter().rev()))
            && a.get(2..) == b.get(2..))
}
