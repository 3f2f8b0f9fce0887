//! What comes before the value: words, fences, reasoning.

use crate::answer::reasoning::{self, ReasoningTag};

/// Longer than any mark of reasoning, in bytes.
const MAX_MARK: usize = 16;

/// Looks for the bracket with which the value begins.
#[derive(Debug, Default)]
pub struct Prose {
    /// What was read from where a mark of reasoning may begin.
    tail: String,
    /// Within a reasoning block, until this mark.
    closing: Option<&'static str>,
    /// A list may have begun: what follows tells.
    may_be_list: bool,
}

/// Where the value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Object,
    /// One character late.
    List,
}

impl Prose {
    /// Reads on. `takes_list`: the value may be a list; else a `[` is prose.
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
