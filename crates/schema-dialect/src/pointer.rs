//! JSON Pointers.

use std::borrow::Cow;

/// Returns a JSON Pointer with one more reference token, escaped as in RFC 6901, section 3.
#[must_use]
pub fn pointer(base: &str, token: &str) -> String {
    format!("{base}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// Location in a document while it is walked: a linked list, rendered only when an error or a warning needs it.
#[derive(Debug, Clone, Copy)]
pub struct Location<'l> {
    parent: Option<&'l Self>,
    token: Token<'l>,
}

#[derive(Debug, Clone, Copy)]
enum Token<'l> {
    /// A JSON Pointer from which the walk started.
    Base(&'l str),
    Name(&'l str),
    Index(usize),
}

impl<'l> Location<'l> {
    /// Creates the location of a JSON Pointer.
    pub const fn new(pointer: &'l str) -> Self {
        Self {
            parent: None,
            token: Token::Base(pointer),
        }
    }

    pub const fn name(&'l self, name: &'l str) -> Self {
        Self {
            parent: Some(self),
            token: Token::Name(name),
        }
    }

    pub const fn index(&'l self, index: usize) -> Self {
        Self {
            parent: Some(self),
            token: Token::Index(index),
        }
    }

    /// Returns the JSON Pointer.
    pub fn render(&self) -> String {
        let base = self.parent.map(Self::render).unwrap_or_default();
        match self.token {
            Token::Base(pointer) => pointer.to_owned(),
            Token::Name(name) => pointer(&base, name),
            Token::Index(index) => format!("{base}/{index}"),
        }
    }
}

/// Returns the tokens of a JSON Pointer, unescaped.
pub fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer
        .split('/')
        .skip(1)
        .map(referencing::unescape_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_token_is_escaped() {
        assert_eq!(pointer("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
