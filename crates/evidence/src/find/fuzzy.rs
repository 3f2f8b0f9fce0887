//! Longer values of which most words stand together in the text, in order.

use super::date::Words;
use super::near::{NearWords, Place};
use crate::mention::{Mention, Status};
use crate::positions::Positions;
use crate::query::Query;
use crate::tokens::Tokens;

/// Share of a value's letters, in words that stand in the text in order, from which the text counts as saying it: in percent.
pub const THRESHOLD_PERCENT: u32 = 75;

/// Share of the words between the first and the last that must be the value's: in percent.
const DENSITY_PERCENT: u32 = 50;

/// Fewest characters of a value in a script without spaces.
const FEWEST_IDEOGRAPHS: usize = 5;

/// Cells that the alignments of all values may compute together.
pub const CELLS: usize = 4_000_000;

/// Most places at which the alignment of one value begins.
const MOST_SEEDS: usize = 32;

/// Value with the weight of each word.
struct Pattern {
    hashes: Vec<u32>,
    weights: Vec<u32>,
    has_digits: Vec<bool>,
    /// Tokens of the text that are nearly each word, in order.
    near: Vec<Vec<u32>>,
    /// Words, folded; and for each, true if a full stop after it says that it may be an abbreviation.
    words: Vec<(String, bool)>,
    total: u32,
}

/// Best alignment that ends at a cell.
#[derive(Clone, Copy, Default)]
struct Cell {
    score: i32,
    /// First and last token of the text, plus one, that are matched.
    first: u32,
    last: u32,
    weight: u32,
    words: u32,
    digits: u32,
}

/// Adds mentions to a query that has none. `cells` is what is left of the work that may be done.
pub fn find(
    source: Words,
    query: &mut Query,
    values: &Tokens,
    positions: &Positions,
    near: &NearWords,
    cells: &mut usize,
) {
    let pattern = Pattern::new(query, values, near);
    let mut found = match pattern.hashes.as_slice() {
        [] => Vec::new(),
        [hash] => near
            .places_of(*hash)
            .iter()
            .filter(|place| !place.is_weak)
            .filter_map(|place| near_mention(source, *place))
            .collect(),
        _ => pattern.find(source, positions, near, cells),
    };
    query.mentions.append(&mut found);
}

/// Returns the mention of a single word: all of the token, or what follows a particle.
fn near_mention(source: Words, place: Place) -> Option<Mention> {
    let token = place.token as usize;
    let (start, end) = (source.tokens.start(token), source.tokens.end(token));
    match place.particle_bytes {
        0 => Mention::new(start, end, Status::Fuzzy, 100),
        bytes => Mention::new(start + usize::from(bytes), end, Status::Normalized, 60),
    }
}

impl Pattern {
    fn new(query: &Query, values: &Tokens, near: &NearWords) -> Self {
        let text = query.searched();
        let words = || query.tokens.clone().map(|token| values.text(text, token));
        let hashes = values
            .hashes()
            .get(query.tokens.clone())
            .unwrap_or_default();
        let weights: Vec<u32> = words()
            .map(|word| u32::try_from(word.chars().count()).unwrap_or(1))
            .collect();
        Self {
            total: weights.iter().sum(),
            weights,
            has_digits: words()
                .map(|word| word.contains(|c| crate::fold::decimal_digit(c).is_some()))
                .collect(),
            near: hashes
                .iter()
                .map(|hash| {
                    near.places_of(*hash)
                        .iter()
                        .map(|place| place.token)
                        .collect()
                })
                .collect(),
            words: query
                .tokens
                .clone()
                .map(|token| {
                    let is_dotted = text
                        .get(values.end(token)..)
                        .is_some_and(|rest| rest.starts_with('.'));
                    (values.text(text, token).to_lowercase(), is_dotted)
                })
                .collect(),
            hashes: hashes.to_vec(),
        }
    }

    fn find(
        &self,
        source: Words,
        positions: &Positions,
        near: &NearWords,
        cells: &mut usize,
    ) -> Vec<Mention> {
        let count = self.hashes.len();
        let slack = count / 2 + 2;
        let cost = count * (count + 2 * slack);
        let mut best: Vec<(u32, Mention)> = Vec::new();
        for seed in self.seeds(positions) {
            let window =
                seed.saturating_sub(slack)..(seed + count + slack).min(source.tokens.len());
            if best
                .iter()
                .any(|(_, mention)| mention.start as usize == source.tokens.start(seed))
            {
                continue;
            }
            if *cells < cost {
                break;
            }
            *cells -= cost;
            let cell = self.align(source, window.clone());
            let mention = self.judge(cell).or_else(|| self.any_order(source, window));
            let Some((first, last, weight)) = mention else {
                continue;
            };
            let particle = self.particle(near, first);
            let start = source.tokens.start(first) + particle;
            let is_whole = particle > 0 && self.is_whole(first, last, source.tokens);
            let (status, penalty) = if is_whole {
                (Status::Normalized, 60)
            } else {
                (Status::Fuzzy, 100)
            };
            // The full stop of an abbreviation belongs to it.
            let is_abbreviated = (0..count).any(|word| self.is_abbreviation(word, last, source));
            let end = source.tokens.end(last);
            let has_dot = source
                .text
                .get(end..)
                .is_some_and(|rest| rest.starts_with('.'));
            let end = end + usize::from(is_abbreviated && has_dot);
            let mention = Mention::new(start, end, status, penalty);
            best.extend(mention.map(|mention| (weight, mention)));
        }
        let most = best
            .iter()
            .map(|(weight, _)| *weight)
            .max()
            .unwrap_or_default();
        best.retain(|(weight, _)| weight * 20 >= most * 19);
        best.into_iter().map(|(_, mention)| mention).collect()
    }

    /// Returns the bytes of a particle at the start of the first token.
    fn particle(&self, near: &NearWords, token: usize) -> usize {
        self.hashes
            .iter()
            .flat_map(|hash| near.places_of(*hash))
            .find(|place| place.token as usize == token)
            .map_or(0, |place| usize::from(place.particle_bytes))
    }

    /// Returns where the value may begin, by its rarest words.
    fn seeds(&self, positions: &Positions) -> Vec<usize> {
        let mut words: Vec<_> = self.hashes.iter().zip(&self.near).enumerate().collect();
        words.retain(|(_, (hash, near))| positions.count(**hash) + near.len() > 0);
        words.sort_by_key(|(_, (hash, near))| positions.count(**hash) + near.len());
        let candidates = words.iter().flat_map(|(place, (hash, near))| {
            let tokens = positions.first_places(**hash).iter().chain(near.iter());
            tokens.map(|token| (*token as usize).saturating_sub(*place))
        });
        let mut seeds: Vec<usize> = Vec::new();
        for seed in candidates.take(MOST_SEEDS) {
            if !seeds.iter().any(|other| other.abs_diff(seed) <= 1) {
                seeds.push(seed);
            }
        }
        seeds
    }

    fn is_match(&self, word: usize, token: usize, source: Words) -> bool {
        let is_same = source.tokens.hash(token) == self.hashes.get(word).copied();
        let near = self.near.get(word).map_or(&[][..], Vec::as_slice);
        is_same
            || (!near.is_empty()
                && u32::try_from(token).is_ok_and(|token| near.binary_search(&token).is_ok()))
            || self.is_abbreviation(word, token, source)
    }

    /// Returns true for "St." and "Saint", "Inc." and "Incorporated", with the abbreviation on either side.
    fn is_abbreviation(&self, word: usize, token: usize, source: Words) -> bool {
        let is_dotted = source.text.as_bytes().get(source.tokens.end(token)) == Some(&b'.');
        let Some((wanted, is_wanted_dotted)) = self
            .words
            .get(word)
            .filter(|(_, dotted)| *dotted != is_dotted)
        else {
            return false;
        };
        let found = source.tokens.text(source.text, token).to_lowercase();
        if *is_wanted_dotted {
            abbreviates(wanted, &found)
        } else {
            abbreviates(&found, wanted)
        }
    }

    /// Returns true if the words stand one after the other, all as they are but for a particle before the first.
    fn is_whole(&self, first: usize, last: usize, tokens: &Tokens) -> bool {
        let count = self.hashes.len();
        last + 1 - first == count
            && (1..count).all(|place| tokens.hash(first + place) == self.hashes.get(place).copied())
    }

    /// Returns the best alignment of the words in order, as Smith and Waterman do.
    fn align(&self, source: Words, window: std::ops::Range<usize>) -> Cell {
        let width = window.len();
        let gap = i32::try_from(self.total / u32::try_from(self.hashes.len()).unwrap_or(1).max(1))
            .unwrap_or(1)
            .max(1)
            * 2;
        let mut row = vec![Cell::default(); width + 1];
        let mut best = Cell::default();
        for (word, weight) in self.weights.iter().enumerate() {
            let mut diagonal = Cell::default();
            let mut left = Cell::default();
            let has_digits = u32::from(self.has_digits.get(word).copied().unwrap_or_default());
            for (token, slot) in window.clone().zip(row.iter_mut().skip(1)) {
                let above = *slot;
                let mut cell = above;
                cell.score -= gap;
                if left.score - gap > cell.score {
                    cell = Cell {
                        score: left.score - gap,
                        ..left
                    };
                }
                if self.is_match(word, token, source) {
                    let matched = diagonal.matched(token, *weight, has_digits);
                    if matched.score > cell.score {
                        cell = matched;
                    }
                }
                if cell.score <= 0 {
                    cell = Cell::default();
                }
                if cell.score > best.score {
                    best = cell;
                }
                diagonal = above;
                left = cell;
                *slot = cell;
            }
        }
        best
    }

    /// Returns true if each word is one character, as in Chinese.
    fn is_unspaced(&self) -> bool {
        self.total as usize <= self.hashes.len()
    }

    /// Returns the first and last token of an alignment that is good enough, with its weight.
    fn judge(&self, cell: Cell) -> Option<(usize, usize, u32)> {
        let first = cell.first.checked_sub(1)?;
        let last = cell.last.checked_sub(1)?;
        let digits = self.has_digits.iter().filter(|has| **has).count();
        let is_long = !self.is_unspaced() || self.hashes.len() >= FEWEST_IDEOGRAPHS;
        let is_enough = is_long
            && cell.weight * 100 >= self.total * THRESHOLD_PERCENT
            && cell.words as usize * 2 >= self.hashes.len()
            && cell.words >= 2
            && cell.words * 100 >= (last - first + 1) * DENSITY_PERCENT
            && cell.digits as usize == digits;
        is_enough.then_some((first as usize, last as usize, cell.weight))
    }

    /// Returns the tokens that hold all words of a short value, in another order: "Smith, John".
    fn any_order(
        &self,
        source: Words,
        window: std::ops::Range<usize>,
    ) -> Option<(usize, usize, u32)> {
        let count = self.hashes.len();
        if !(2..=6).contains(&count) || self.is_unspaced() {
            return None;
        }
        window.into_iter().find_map(|first| {
            let mut free: Vec<usize> = (0..count).collect();
            for token in first..(first + count + 1).min(source.tokens.len()) {
                let place = free
                    .iter()
                    .position(|word| self.is_match(*word, token, source));
                match place {
                    Some(place) => drop(free.swap_remove(place)),
                    None if token == first => return None,
                    None => {}
                }
                if free.is_empty() {
                    return Some((first, token, self.total));
                }
            }
            None
        })
    }
}

/// Returns true if a short word has letters of a longer one in their order, the first one included.
fn abbreviates(short: &str, long: &str) -> bool {
    let mut rest = long.chars();
    (2..=4).contains(&short.chars().count())
        && short.len() < long.len()
        && short.chars().next() == long.chars().next()
        && short.chars().all(|wanted| rest.any(|c| c == wanted))
}

impl Cell {
    /// Returns the alignment with one more word.
    fn matched(self, token: usize, weight: u32, has_digits: u32) -> Self {
        let token = u32::try_from(token + 1).unwrap_or(u32::MAX);
        Self {
            score: self.score + i32::try_from(weight * 10).unwrap_or(i32::MAX / 4),
            first: if self.words == 0 { token } else { self.first },
            last: token,
            weight: self.weight + weight,
            words: self.words + 1,
            digits: self.digits + has_digits,
        }
    }
}
