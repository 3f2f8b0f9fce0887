//! Tracker of what an answer has copied from its text: follows the JSON byte by byte, and knows where in the text the value in
//! progress can stand and which parts of the text earlier values have used up.
//!
//! Must not know models or penalties; [`super::copy_bias`] turns positions into penalties.

use toktrie::{TokTrie, TokenId};

/// Longest property name that is looked for in the text, in bytes: bounds the search, which is repeated for each value.
const MAX_LABEL_BYTES: usize = 60;

/// Place of the next byte in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between values, or in a property's name.
    Outside,
    /// In a string value.
    String,
    /// In a number, or where one may begin.
    Number,
}

/// Container that is open in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Object,
    List,
}

/// Lexical state of the answer.
#[derive(Debug, Clone, Copy)]
enum State {
    Between { expects_value: bool },
    Quoted { is_name: bool, escaped: bool },
    Number,
}

/// Values of the current item of a list that stand in the text.
#[derive(Debug, Clone, Copy, Default)]
struct ItemCopies {
    /// Number of values copied from a part of the text that no earlier value used.
    fresh: usize,
    /// Number of values that only stand in parts of the text that earlier values used.
    reused: usize,
}

/// State of an answer's copies.
#[derive(Debug)]
pub struct CopyTracker {
    /// Text, escaped as in a JSON string.
    text: Vec<u8>,
    /// For each byte of the text, true if an earlier value was copied from it.
    used: Vec<bool>,
    /// Start of the latest copy: values tend to follow the order of the text.
    latest: usize,
    containers: Vec<Container>,
    lists: Vec<ItemCopies>,
    state: State,
    /// Positions in the text where the value in progress stands so far.
    starts: Vec<usize>,
    /// Length of the value in progress, in bytes.
    length: usize,
    /// Latest property name.
    name: Vec<u8>,
    /// Positions in the text that follow the name of the value in progress, as in "Total: 83.00"; ascending.
    labelled: Vec<usize>,
}

impl CopyTracker {
    /// Creates a tracker of an answer about a text.
    pub fn new(text: &str) -> Self {
        let quoted = serde_json::Value::from(text).to_string();
        let text = quoted
            .get(1..quoted.len() - 1)
            .unwrap_or_default()
            .as_bytes()
            .to_vec();
        let mut tracker = Self {
            used: vec![false; text.len()],
            text,
            latest: 0,
            containers: Vec::new(),
            lists: Vec::new(),
            state: State::Between {
                expects_value: false,
            },
            starts: Vec::new(),
            length: 0,
            name: Vec::new(),
            labelled: Vec::new(),
        };
        tracker.expect(true);
        tracker
    }

    /// Follows the next bytes of the answer.
    pub fn observe(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    /// Returns the place of the next byte.
    pub const fn place(&self) -> Place {
        match self.state {
            State::Quoted { is_name: false, .. } => Place::String,
            State::Number
            | State::Between {
                expects_value: true,
            } => Place::Number,
            _ => Place::Outside,
        }
    }

    /// Returns true if the value in progress stands in the text so far; true for an empty value.
    pub const fn is_copying(&self) -> bool {
        !self.starts.is_empty()
    }

    /// Returns true if the value in progress ends inside a word wherever it stands in the text.
    pub fn is_mid_word(&self) -> bool {
        let ends = |start: &usize| {
            self.text
                .get(start + self.length)
                .is_none_or(|byte| !is_word(*byte))
        };
        self.length > 0 && self.is_copying() && !self.starts.iter().any(ends)
    }

    /// Returns true if no byte of a value has been written.
    pub const fn is_at_start(&self) -> bool {
        self.length == 0
    }

    /// Returns true if the value in progress can end where a clause of the text ends: before punctuation, or at the text's end.
    pub fn is_at_clause_end(&self) -> bool {
        self.length > 0
            && self.starts.iter().any(|start| {
                let rest = self.text.get(start + self.length..).unwrap_or_default();
                match rest {
                    [b',' | b';' | b':' | b'.' | b'!' | b'?', after, ..] => {
                        after.is_ascii_whitespace() || *after == b'\\'
                    }
                    [first, ..] => matches!(first, b'(' | b')' | b'.' | b'!' | b'?'),
                    [] => true,
                }
            })
    }

    /// Calls `visit` with each token that continues the value in progress as the text does, and true if that part of the text is
    /// used already or the text states the value elsewhere, by its name.
    pub fn continuations(&self, trie: &TokTrie, mut visit: impl FnMut(TokenId, bool)) {
        let is_number = self.place() == Place::Number;
        for start in &self.starts {
            let rest = self.text.get(start + self.length..).unwrap_or_default();
            let begins_word = rest.first().is_some_and(|byte| is_word(*byte));
            if self.length == 0 && !begins_word {
                continue;
            }
            let mut node = trie.root();
            let mut is_used = self.is_used(*start, self.length)
                || !self.labelled.is_empty() && self.labelled.binary_search(start).is_err();
            for (offset, byte) in rest.iter().enumerate() {
                if is_number && !is_numeric(*byte) {
                    break;
                }
                let Some(next) = trie.child_at_byte(node, *byte) else {
                    break;
                };
                is_used |= self.is_used(start + self.length + offset, 1);
                node = next;
                if let Some(token) = node.token_id() {
                    visit(token, is_used);
                }
            }
        }
    }

    /// Returns the innermost container of a list's item that only repeats copies of earlier values; `None`: no such item.
    pub fn repeated_item(&self) -> Option<Container> {
        let mut item = *self.lists.last()?;
        let in_value = matches!(
            self.state,
            State::Number | State::Quoted { is_name: false, .. }
        );
        if in_value && self.length > 0 {
            let is_fresh = |start: &usize| !self.is_used(*start, self.length);
            item.fresh += usize::from(self.starts.iter().any(is_fresh));
            item.reused += usize::from(self.is_copying());
        }
        let container = self.containers.last().copied();
        container.filter(|_| item.fresh == 0 && item.reused > 0)
    }

    fn step(&mut self, byte: u8) {
        match self.state {
            State::Quoted { is_name, escaped } => {
                if byte == b'"' && !escaped {
                    if !is_name {
                        self.complete();
                    }
                    self.expect(false);
                    return;
                }
                let escaped = byte == b'\\' && !escaped;
                self.state = State::Quoted { is_name, escaped };
                if is_name {
                    self.name.push(byte);
                } else {
                    self.extend(byte);
                }
            }
            State::Number if is_numeric(byte) || matches!(byte, b'-' | b'+' | b'e' | b'E') => {
                self.extend(byte);
            }
            State::Number => {
                self.complete();
                self.expect(false);
                self.between(byte, false);
            }
            State::Between { expects_value } => self.between(byte, expects_value),
        }
    }

    fn between(&mut self, byte: u8, expects_value: bool) {
        match byte {
            b'"' => {
                self.state = State::Quoted {
                    is_name: !expects_value,
                    escaped: false,
                };
                if !expects_value {
                    self.name.clear();
                }
            }
            b'{' => {
                self.containers.push(Container::Object);
                self.expect(false);
            }
            b'[' => {
                self.containers.push(Container::List);
                self.lists.push(ItemCopies::default());
                self.expect(true);
            }
            b'}' | b']' => {
                if self.containers.pop() == Some(Container::List) {
                    self.lists.pop();
                }
                self.expect(false);
            }
            b',' => {
                let in_list = self.containers.last() == Some(&Container::List);
                if in_list && let Some(item) = self.lists.last_mut() {
                    *item = ItemCopies::default();
                }
                self.expect(in_list);
            }
            b':' => {
                self.expect(true);
                self.find_labelled();
            }
            b'-' | b'0'..=b'9' if expects_value => {
                self.state = State::Number;
                self.extend(byte);
            }
            _ => {}
        }
    }

    /// Goes between values. Before a value, it can stand at the beginning of each word of the text.
    fn expect(&mut self, expects_value: bool) {
        self.state = State::Between { expects_value };
        self.length = 0;
        self.starts.clear();
        self.labelled.clear();
        if !expects_value {
            return;
        }
        let mut is_inside = false;
        for (position, byte) in self.text.iter().enumerate() {
            if !(is_inside && is_word(*byte)) {
                self.starts.push(position);
            }
            is_inside = is_word(*byte);
        }
    }

    /// Finds where the text states the value of the property by its name: "Total: 83.00", "the age is 36", "Room 12".
    fn find_labelled(&mut self) {
        let label = self.name.iter().map(|byte| match byte {
            b'_' | b'-' => b' ',
            other => *other,
        });
        let label: Vec<u8> = label.collect();
        if label.is_empty() || label.len() > MAX_LABEL_BYTES {
            return;
        }
        let is_part_of_word = |at: Option<&u8>| at.is_some_and(|byte| is_word(*byte));
        for (start, part) in self.text.windows(label.len()).enumerate() {
            let end = start + label.len();
            let before = start.checked_sub(1).and_then(|at| self.text.get(at));
            let is_label = !is_part_of_word(before)
                && !is_part_of_word(self.text.get(end))
                && part.eq_ignore_ascii_case(&label);
            if is_label && let Some(skipped) = self.text.get(end..).and_then(before_value) {
                self.labelled.push(end + skipped);
            }
        }
    }

    fn extend(&mut self, byte: u8) {
        let (text, length) = (&self.text, self.length);
        self.starts
            .retain(|start| text.get(start + length) == Some(&byte));
        self.length += 1;
    }

    /// Marks the part of the text that a complete value was copied from: the next unused one, in the order of the text.
    fn complete(&mut self) {
        if self.length == 0 {
            return;
        }
        let ends = |start: &usize| {
            let end = start + self.length;
            let is_inside = self.text.get(end - 1).is_some_and(|byte| is_word(*byte))
                && self.text.get(end).is_some_and(|byte| is_word(*byte));
            !is_inside
        };
        let is_fresh = |start: &usize| !self.is_used(*start, self.length);
        let mut whole = self.starts.iter().copied().filter(|start| ends(start));
        let is_copy = whole.clone().next().is_some();
        let fresh = whole
            .clone()
            .find(|start| *start >= self.latest && is_fresh(start))
            .or_else(|| whole.find(is_fresh));
        if let Some(start) = fresh {
            if let Some(copied) = self.used.get_mut(start..start + self.length) {
                copied.fill(true);
            }
            self.latest = start;
        }
        if let Some(item) = self.lists.last_mut() {
            item.fresh += usize::from(fresh.is_some());
            item.reused += usize::from(is_copy && fresh.is_none());
        }
    }

    fn is_used(&self, start: usize, length: usize) -> bool {
        let part = self.used.get(start..start + length);
        part.is_some_and(|part| part.contains(&true))
    }
}

/// Returns the number of bytes between a label and its value: a sign or "is", or spaces before a digit. `None`: no value follows.
fn before_value(rest: &[u8]) -> Option<usize> {
    let signs = rest.iter().take_while(|byte| b" :=#".contains(byte));
    let mut skipped = signs.clone().count();
    let mut is_stated = signs.into_iter().any(|byte| *byte != b' ');
    if rest.get(skipped..)?.starts_with(b"is ") {
        skipped += b"is ".len();
        is_stated = true;
    }
    let first = rest.get(skipped)?;
    (is_word(*first) && (is_stated || first.is_ascii_digit())).then_some(skipped)
}

/// Returns true for a byte of a letter or digit. Bytes beyond ASCII count as letters.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

const fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

#[cfg(test)]
mod tests;
