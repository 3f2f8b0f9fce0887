//! Words of a text: where they stand, and a hash of their folded form.

use crate::clusters::{Class, class, is_boundary, next_cluster};
use crate::fold::{Marks, fold_word, is_dash};

/// Longest token in bytes. A longer run of letters is cut.
const LONGEST_BYTES: usize = 60_000;

/// Words of one text, in order: ten bytes for each.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    starts: Vec<u32>,
    lengths: Vec<u16>,
    hashes: Vec<u32>,
}

impl Tokens {
    /// Splits a text into words.
    pub fn new(text: &str) -> Self {
        let mut tokens = Self::default();
        let bytes = text.as_bytes();
        let wide = bytes.iter().filter(|byte| !byte.is_ascii()).count();
        let is_start = |pair: &[u8]| match pair {
            [before, next] => {
                *next >= b'0' && (*before < b'0' || (before.is_ascii_digit() && *next > b'9'))
            }
            _ => false,
        };
        let starts = bytes.windows(2).filter(|pair| is_start(pair)).count();
        tokens.reserve(wide / 3 + starts + 1);
        tokens.append(text);
        tokens.shrink();
        tokens
    }

    fn reserve(&mut self, count: usize) {
        self.starts.reserve_exact(count);
        self.lengths.reserve_exact(count);
        self.hashes.reserve_exact(count);
    }

    /// Returns the memory of words that were expected and not found.
    fn shrink(&mut self) {
        if self.starts.capacity() / 2 > self.starts.len() {
            self.starts.shrink_to_fit();
            self.lengths.shrink_to_fit();
            self.hashes.shrink_to_fit();
        }
    }

    /// Appends the words of `text`, with offsets into it.
    pub fn append(&mut self, text: &str) {
        let mut run = Run::default();
        let mut at = 0;
        while let Some(cluster) = next_cluster(text, at) {
            let end = at + cluster.len();
            let class = cluster.chars().next().map_or(Class::Gap, class);
            match class {
                Class::Letter if run.is_date_before_time(text, at) => run.close(self),
                Class::Letter | Class::Digit => run.extend(class, at, cluster, self),
                Class::Solo => {
                    run.close(self);
                    self.push(at, end, Hash::of_word(cluster));
                }
                Class::Ignored => {}
                Class::Gap => {
                    if let Some(next) = run.next_after_gap(text, at, cluster) {
                        at = next;
                        continue;
                    }
                    run.close(self);
                }
            }
            at = end;
        }
        run.close(self);
    }

    fn push(&mut self, start: usize, end: usize, hash: Hash) {
        let (Ok(start), Ok(length)) = (u32::try_from(start), u16::try_from(end - start)) else {
            return;
        };
        if let Some(hash) = hash.finish() {
            self.starts.push(start);
            self.lengths.push(length);
            self.hashes.push(hash);
        }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    pub fn hash(&self, token: usize) -> Option<u32> {
        self.hashes.get(token).copied()
    }

    /// Returns the first byte of a token; past the last token, the largest offset.
    pub fn start(&self, token: usize) -> usize {
        self.starts
            .get(token)
            .map_or(usize::MAX, |start| *start as usize)
    }

    /// Returns the byte after a token; 0 if there is no such token.
    pub fn end(&self, token: usize) -> usize {
        let length = self.lengths.get(token).copied().unwrap_or_default();
        self.starts
            .get(token)
            .map_or(0, |start| *start as usize + usize::from(length))
    }

    pub fn text<'t>(&self, text: &'t str, token: usize) -> &'t str {
        text.get(self.start(token)..self.end(token))
            .unwrap_or_default()
    }

    /// Returns what stands between a token and the one before it.
    pub fn gap_before<'t>(&self, text: &'t str, token: usize) -> &'t str {
        let start = token.checked_sub(1).map_or(0, |before| self.end(before));
        let end = self.start(token).min(text.len());
        text.get(start..end).unwrap_or_default()
    }

    /// Returns the number of the first token that starts at or after `byte`.
    pub fn at_or_after(&self, byte: usize) -> usize {
        self.starts
            .partition_point(|start| (*start as usize) < byte)
    }
}

/// Hash of a folded word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hash(u64);

impl Hash {
    /// Hashes a whole word.
    pub fn of_word(word: &str) -> Self {
        let mut hash = Self::default();
        hash.add_word(word);
        hash
    }

    pub fn add_word(&mut self, word: &str) {
        fold_word(word, Marks::Drop, &mut |folded| self.add(folded));
    }

    pub fn add(&mut self, c: char) {
        self.0 =
            (self.0.rotate_left(5) ^ u64::from(u32::from(c))).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Returns the hash, or `None` if nothing was hashed.
    pub fn finish(self) -> Option<u32> {
        (self.0 != 0).then(|| u32::try_from(self.0 >> 32).unwrap_or_default())
    }
}

/// Letters and digits that are being read.
#[derive(Debug, Default)]
struct Run {
    start: usize,
    end: usize,
    whole: Hash,
    last: Option<Class>,
    /// Set where letters follow the digits that the run began with.
    split: Option<Split>,
    /// True once digits follow letters: the run is one token.
    is_mixed: bool,
}

#[derive(Debug)]
struct Split {
    end: usize,
    start: usize,
    first: Hash,
    second: Hash,
}

impl Run {
    fn extend(&mut self, class: Class, at: usize, cluster: &str, tokens: &mut Tokens) {
        if self.last.is_some() && at + cluster.len() - self.start > LONGEST_BYTES {
            self.close(tokens);
        }
        match (self.last, class) {
            (None, _) => self.start = at,
            (Some(Class::Digit), Class::Letter) if !self.is_mixed => {
                self.split = Some(Split {
                    end: self.end,
                    start: at,
                    first: self.whole,
                    second: Hash::default(),
                });
            }
            (Some(Class::Letter), Class::Digit) => self.is_mixed = true,
            _ => {}
        }
        self.whole.add_word(cluster);
        if let Some(split) = &mut self.split {
            split.second.add_word(cluster);
        }
        self.end = at + cluster.len();
        self.last = Some(class);
    }

    /// Returns true at the "T" of 2026-01-05T14:30.
    fn is_date_before_time(&self, text: &str, at: usize) -> bool {
        let bytes = text.as_bytes();
        self.last == Some(Class::Digit)
            && at == self.start + 2
            && bytes.get(at) == Some(&b'T')
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && bytes.get(at.wrapping_sub(3)) == Some(&b'-')
    }

    /// Returns where the word goes on after a hyphen at the end of a line, or after the signs of "C++" and "C#".
    fn next_after_gap(&mut self, text: &str, at: usize, cluster: &str) -> Option<usize> {
        if self.last != Some(Class::Letter) {
            return None;
        }
        let sign = cluster.chars().next()?;
        let rest = text.get(at + cluster.len()..)?;
        if matches!(sign, '+' | '#') {
            return self.extend_with_signs(text, at);
        }
        if !is_dash(sign) {
            return None;
        }
        let line_end = rest.trim_start_matches([' ', '\t', '\r']);
        let next_line = line_end.strip_prefix('\n')?;
        let next = next_line.trim_start_matches([' ', '\t']);
        let is_lower = next.chars().next().is_some_and(char::is_lowercase);
        (is_lower && rest.len() - next.len() < 64).then(|| text.len() - next.len())
    }

    fn extend_with_signs(&mut self, text: &str, at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let after = rest.trim_start_matches(['+', '#']);
        let signs = rest.get(..rest.len() - after.len())?;
        let is_end = after.chars().next().is_none_or(|c| class(c) == Class::Gap)
            && is_boundary(text, at + signs.len());
        if signs.len() > 2 || !is_end {
            return None;
        }
        self.whole.add_word(signs);
        if let Some(split) = &mut self.split {
            split.second.add_word(signs);
        }
        self.end = at + signs.len();
        Some(self.end)
    }

    fn close(&mut self, tokens: &mut Tokens) {
        let run = std::mem::take(self);
        if run.last.is_none() {
            return;
        }
        match run.split {
            Some(split) if !run.is_mixed => {
                tokens.push(run.start, split.end, split.first);
                tokens.push(split.start, run.end, split.second);
            }
            _ => tokens.push(run.start, run.end, run.whole),
        }
    }
}
