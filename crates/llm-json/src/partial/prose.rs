//! Text before the value: prose, code fences, reasoning.

use crate::answer::reasoning::{self, ReasoningTag};

/// Maximum length of a reasoning mark, in bytes; every known mark is shorter.
const MAX_MARK: usize = 16;

/// Search for the bracket with which the value begins.
#[derive(Debug, Default)]
pub struct Prose {
    /// Text since a possible reasoning mark began.
    tail: String,
    /// Mark that closes the current reasoning block; `None` outside of one.
    closing: Option<&'static str>,
    /// True if a `[` was read and the next character decides if it begins a list.
    may_be_list: bool,
}

/// Kind of value that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Object,
    /// A list, reported one character after its bracket.
    List,
}

impl Prose {
    /// Reads one character. Returns the kind of value if one begins. `takes_list` is true if the
    /// value may be a list; otherwise a `[` is prose.
    pub fn step(&mut self, c: char, takes_list: bool) -> Option<Begin> {
        if let Some(closing) = self.closing {
            self.tail.push(c);
            if reasoning::end_of(&self.tail, closing).is_some() {
                *self = Self::default();
            } else if self.tail.len() > MAX_MARK {
                self.tail.remove(0);
            }
            return None;
        }
        if self.may_be_list && !c.is_whitespace() {
            self.may_be_list = false;
            // "[see below]" and "[THINK]" are prose.
            if matches!(c, '{' | '[' | ']' | '"' | '\'' | '-' | '0'..='9') {
                return Some(Begin::List);
            }
        }
        match c {
            '{' => return Some(Begin::Object),
            '<' | '[' => {
                self.tail.clear();
                self.tail.push(c);
                self.may_be_list = takes_list && c == '[';
            }
            _ if !self.tail.is_empty() => {
                self.tail.push(c);
                if let Some(ReasoningTag::Opening { closing, .. }) = reasoning::mark_at(&self.tail)
                {
                    (self.closing, self.may_be_list) = (Some(closing), false);
                    self.tail.clear();
                } else if self.tail.len() > MAX_MARK {
                    self.tail.clear();
                }
            }
            _ => {}
        }
        None
    }
}
