//! Incremental parser: the part of an answer that is known while the model is still writing it
//! (streaming, partial results).
//!
//! Reads each character once, however the text is divided, and keeps only the open containers.
//! Strings grow, numbers and literals appear once complete, and no value disappears again. Parses
//! the first object or array outside a reasoning block. Stops at the first syntax that it does not
//! understand, and at more values than that parser takes; the parser of complete answers handles the
//! rest.
//!
//! The memory may be bounded: of a value that becomes too large, only the elements of the streamed list
//! are kept, each until it is taken.

mod lexer;
mod open;
mod prose;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::answer::candidate_scanner::MAX_VALUES;
use lexer::{Lexer, Token};
use open::{Open, key_bytes, node_bytes, value_bytes};
use prose::{Begin, Prose};

/// Maximum nesting depth, the same as that of the parser of complete answers. The parser stops at
/// deeper values.
const MAX_DEPTH: usize = 127;

/// A completed element of the streamed list.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Position in the list, from 0.
    pub index: usize,
    /// The element.
    pub value: Value,
}

/// An answer that is still being written.
#[derive(Debug)]
pub struct Partial {
    prose: Prose,
    lexer: Lexer,
    /// Open containers, the outermost first.
    open: Vec<Open>,
    expects: Expects,
    /// The value, once it is complete.
    whole: Option<Value>,
    is_lost: bool,
    /// True if the value may be a list.
    takes_list: bool,
    /// Member names that lead from the root to the streamed list.
    list: Option<Vec<String>>,
    /// Number of elements of the streamed list that were taken.
    taken: usize,
    /// Number of values so far.
    values: usize,
    /// True if the value is kept; else only the elements of the list are.
    keeps_value: bool,
    /// Memory of the value, or of the element that is being written, in bytes, at most.
    kept_bytes: usize,
    /// Completed elements that were not taken yet, if the value is not kept.
    waiting: VecDeque<Value>,
    waiting_bytes: usize,
    max_bytes: usize,
}

/// Token expected next within a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    Key,
    Colon,
    /// A comma, or the end of the container.
    Comma,
}

impl Partial {
    /// Returns a parser without text.
    ///
    /// `list` is the path of member names to the list whose elements [`Partial::next_finished`]
    /// returns; an empty path is the root, `None` streams no list. `takes_list` is true if the
    /// value may be a list; otherwise a `[` before the value is prose.
    #[must_use]
    pub fn new(list: Option<Vec<String>>, takes_list: bool) -> Self {
        Self {
            takes_list,
            prose: Prose::default(),
            lexer: Lexer::default(),
            open: Vec::new(),
            expects: Expects::Value,
            whole: None,
            is_lost: false,
            list,
            taken: 0,
            values: 0,
            keeps_value: true,
            kept_bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            max_bytes: usize::MAX,
        }
    }

    /// Bounds the memory to about `max_bytes`: what is above is given up, as by [`Partial::shed`].
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Parses the next piece of text. Returns true if more of the value is known than before.
    pub fn push(&mut self, text: &str) -> bool {
        let mut knows_more = false;
        for c in text.chars() {
            if self.is_lost || self.whole.is_some() {
                break;
            }
            if self.open.is_empty() {
                let Some(begin) = self.prose.step(c, self.takes_list) else {
                    continue;
                };
                knows_more = true;
                match begin {
                    Begin::Object => {
                        self.bracket('{');
                        continue;
                    }
                    Begin::List => self.bracket('['),
                }
            }
            let mut token = self.lexer.step(c);
            // A character may end one token and begin another.
            while let Some(read) = token {
                knows_more |= self.take(read);
                token = if self.is_lost || self.open.is_empty() {
                    None
                } else {
                    self.lexer.again()
                };
            }
            knows_more |= self.expects == Expects::Value && self.lexer.in_string();
            while self.bytes() > self.max_bytes && self.shed() {}
        }
        knows_more && self.keeps_value
    }

    /// Returns the known part of the value; `None` before its first bracket, and once it is given up.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        if !self.keeps_value {
            return None;
        }
        if let Some(whole) = &self.whole {
            return Some(whole.clone());
        }
        let mut inner = match (self.expects, self.lexer.string()) {
            (Expects::Value, Some(string)) => Some(Value::String(string.to_owned())),
            _ => None,
        };
        for open in self.open.iter().rev() {
            inner = Some(open.with(inner));
        }
        inner
    }

    /// Returns the memory of what is kept, in bytes, at most.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.kept_bytes + self.waiting_bytes + self.lexer.bytes()
    }

    /// Gives up a part of what is kept: first the value, of which the elements of the list remain; then what is not complete, and the
    /// rest of the text. Returns false if only completed elements are left, which are to be taken.
    pub fn shed(&mut self) -> bool {
        if self.keeps_value {
            self.keep_elements();
            if !self.is_lost {
                return true;
            }
        }
        self.open.clear();
        self.lexer = Lexer::default();
        self.kept_bytes = 0;
        !std::mem::replace(&mut self.is_lost, true)
    }

    /// Drops all but the completed elements that were not taken yet, and the element that is being written.
    fn keep_elements(&mut self) {
        let untaken = self.listed().and_then(|listed| listed.get(self.taken..));
        self.waiting = untaken.unwrap_or_default().iter().cloned().collect();
        self.waiting_bytes = self.waiting.iter().map(value_bytes).sum();
        self.keeps_value = false;
        let has_ended = self.whole.take().is_some() || self.list.is_none();
        self.is_lost |= has_ended;
        let around = match &self.list {
            Some(path) if self.is_list_open() => path.len() + 1,
            _ => self.open.len(),
        };
        self.open.iter_mut().take(around).for_each(Open::clear);
        self.kept_bytes = self.open.iter().map(Open::bytes).sum();
    }

    /// Returns true if a completed element is waiting to be taken.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        if self.keeps_value {
            self.listed()
                .is_some_and(|listed| listed.len() > self.taken)
        } else {
            !self.waiting.is_empty()
        }
    }

    /// Returns the next completed element of the list; `None` if no further one is complete yet.
    pub fn next_finished(&mut self) -> Option<Finished> {
        let index = self.taken;
        let value = if self.keeps_value {
            self.listed()?.get(index)?.clone()
        } else {
            let value = self.waiting.pop_front()?;
            self.waiting_bytes = self.waiting_bytes.saturating_sub(value_bytes(&value));
            value
        };
        self.taken += 1;
        Some(Finished { index, value })
    }

    /// Returns the completed elements of the streamed list: of an open container, or of a value that is
    /// complete.
    fn listed(&self) -> Option<&Vec<Value>> {
        let mut path = self.list.as_ref()?.iter();
        let mut value = self.whole.as_ref();
        let mut open = self.open.iter().peekable();
        while value.is_none() {
            value = match open.next()? {
                Open::Array(items) => return path.next().is_none().then_some(items),
                Open::Object { members, key } => {
                    let name = path.next()?;
                    // A member within which the parser is.
                    let is_open = key.as_ref() == Some(name) && open.peek().is_some();
                    if is_open {
                        None
                    } else {
                        Some(members.get(name)?)
                    }
                }
            };
        }
        path.try_fold(value?, |value, name| value.get(name))?
            .as_array()
    }

    fn take(&mut self, token: Token) -> bool {
        match (self.expects, token) {
            (Expects::Key, Token::String(name) | Token::Word(name)) => {
                if self.keeps_value || self.is_list_open() {
                    self.kept_bytes += key_bytes(&name);
                }
                if let Some(Open::Object { key, .. }) = self.open.last_mut() {
                    *key = Some(name);
                }
                self.expects = Expects::Colon;
                false
            }
            (Expects::Colon, Token::Mark(':')) => {
                self.expects = Expects::Value;
                false
            }
            // Nothing new: the string was already reported up to its last character.
            (Expects::Value, Token::String(text)) => {
                self.put(Value::String(text));
                false
            }
            (Expects::Value, Token::Word(word)) => match lexer::literal(&word) {
                Some(value) => {
                    self.put(value);
                    true
                }
                None => self.lose(),
            },
            (Expects::Value, Token::Mark(bracket @ ('{' | '['))) => {
                self.bracket(bracket);
                true
            }
            (Expects::Comma, Token::Mark(',')) => {
                self.expects = self.first_of_container();
                false
            }
            // A missing comma.
            (Expects::Comma, token @ (Token::String(_) | Token::Mark('{' | '['))) => {
                self.expects = self.first_of_container();
                self.take(token)
            }
            (Expects::Key, Token::Mark('}')) | (Expects::Value, Token::Mark(']')) => self.close(),
            (Expects::Comma, Token::Mark(mark @ ('}' | ']'))) if self.closes(mark) => self.close(),
            // Two commas, or a leading one, mean nothing.
            (Expects::Key, Token::Mark(',')) => false,
            _ => self.lose(),
        }
    }

    fn lose(&mut self) -> bool {
        self.is_lost = true;
        false
    }

    fn closes(&self, mark: char) -> bool {
        matches!(
            (self.open.last(), mark),
            (Some(Open::Object { .. }), '}') | (Some(Open::Array(_)), ']')
        )
    }

    const fn first_of(open: &Open) -> Expects {
        match open {
            Open::Object { .. } => Expects::Key,
            Open::Array(_) => Expects::Value,
        }
    }

    fn first_of_container(&self) -> Expects {
        self.open.last().map_or(Expects::Value, Self::first_of)
    }

    fn bracket(&mut self, bracket: char) {
        if self.open.len() >= MAX_DEPTH {
            self.is_lost = true;
            return;
        }
        let open = match bracket {
            '{' => Open::Object {
                members: Map::new(),
                key: None,
            },
            _ => Open::Array(Vec::new()),
        };
        self.expects = Self::first_of(&open);
        self.open.push(open);
        if self.is_in_list() {
            self.taken = 0;
            if !self.keeps_value {
                // Of a list that comes again, only the last one counts.
                self.waiting.clear();
                (self.kept_bytes, self.waiting_bytes) = (0, 0);
            }
        }
    }

    /// Closes the innermost container.
    fn close(&mut self) -> bool {
        // `{"a": ]` or `{"a": }`: a value is missing.
        let is_complete = match self.open.last() {
            Some(Open::Object { key, .. }) => key.is_none(),
            Some(Open::Array(_)) => true,
            None => false,
        };
        if !is_complete {
            return self.lose();
        }
        match self.open.pop() {
            Some(Open::Object { members, .. }) => self.put(Value::Object(members)),
            Some(Open::Array(items)) => self.put(Value::Array(items)),
            None => self.is_lost = true,
        }
        false
    }

    /// Adds a completed value to the innermost container.
    fn put(&mut self, value: Value) {
        self.values += 1;
        if self.values > MAX_VALUES {
            self.is_lost = true;
            return;
        }
        self.expects = Expects::Comma;
        let is_kept = self.keeps_value || self.is_list_open();
        if is_kept {
            self.kept_bytes += node_bytes(&value);
        }
        if !self.keeps_value && self.is_in_list() {
            self.waiting_bytes += value_bytes(&value);
            self.kept_bytes = 0;
            self.waiting.push_back(value);
            return;
        }
        match self.open.last_mut() {
            None if self.keeps_value => self.whole = Some(value),
            None => self.is_lost = true,
            Some(Open::Object { members, key }) => match key.take() {
                Some(key) if is_kept => drop(members.insert(key, value)),
                Some(_) => {}
                None => self.is_lost = true,
            },
            Some(Open::Array(items)) if is_kept => items.push(value),
            Some(Open::Array(_)) => {}
        }
    }

    /// Returns true if the innermost container is the streamed list.
    fn is_in_list(&self) -> bool {
        let depth = self.list.as_ref().map(Vec::len);
        depth.is_some_and(|depth| depth + 1 == self.open.len()) && self.is_list_open()
    }

    /// Returns true if the parser is within the streamed list.
    fn is_list_open(&self) -> bool {
        let Some(path) = &self.list else {
            return false;
        };
        let Some((outer, [Open::Array(_), ..])) = self.open.split_at_checked(path.len()) else {
            return false;
        };
        outer
            .iter()
            .zip(path)
            .all(|(open, name)| matches!(open, Open::Object { key: Some(key), .. } if key == name))
    }
}
