//! Incremental parser: the part of an answer that is known while the model is still writing it
//! (streaming, partial results).
//!
//! Reads each character once, however the text is divided, and keeps only the open containers.
//! Strings grow, numbers and literals appear once complete, and no value disappears again. Parses
//! the first object or array outside a reasoning block. Stops at the first syntax that it does not
//! understand, and at more values than that parser takes; the parser of complete answers handles the
//! rest.

mod lexer;
mod prose;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::answer::candidate_scanner::MAX_VALUES;
use lexer::Token;
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
    lexer: lexer::Lexer,
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

#[derive(Debug)]
enum Open {
    Object {
        members: Map<String, Value>,
        key: Option<String>,
    },
    Array(Vec<Value>),
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
            lexer: lexer::Lexer::default(),
            open: Vec::new(),
            expects: Expects::Value,
            whole: None,
            is_lost: false,
            list,
            taken: 0,
            values: 0,
        }
    }

    /// Parses the next piece of text. Returns true if more of the value is known than before.
    pub fn push(&mut self, text: &str) -> bool {
        let mut knows_more = false;
        for c in text.chars() {
            if self.is_lost || self.whole.is_some() {
                return knows_more;
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
        }
        knows_more
    }

    /// Returns the known part of the value; `None` before its first bracket.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
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

    /// Returns true if a completed element is waiting to be taken.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.listed()
            .is_some_and(|listed| listed.len() > self.taken)
    }

    /// Returns the next completed element of the list; `None` if no further one is complete yet.
    pub fn next_finished(&mut self) -> Option<Finished> {
        let index = self.taken;
        let value = self.listed()?.get(index)?.clone();
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
        match self.open.last_mut() {
            None => self.whole = Some(value),
            Some(Open::Object { members, key }) => match key.take() {
                Some(key) => drop(members.insert(key, value)),
                None => self.is_lost = true,
            },
            Some(Open::Array(items)) => items.push(value),
        }
    }

    /// Returns true if the innermost container is the streamed list.
    fn is_in_list(&self) -> bool {
        let (Some(path), Some((Open::Array(_), outer))) = (&self.list, self.open.split_last())
        else {
            return false;
        };
        path.len() == outer.len()
            && outer.iter().zip(path).all(
                |(open, name)| matches!(open, Open::Object { key: Some(key), .. } if key == name),
            )
    }
}

impl Open {
    /// Returns the container as a value, with the unfinished value inside it.
    fn with(&self, inner: Option<Value>) -> Value {
        match self {
            Self::Object { members, key } => {
                let mut members = members.clone();
                if let (Some(key), Some(inner)) = (key, inner) {
                    members.insert(key.clone(), inner);
                }
                Value::Object(members)
            }
            Self::Array(items) => Value::Array(items.iter().cloned().chain(inner).collect()),
        }
    }
}
