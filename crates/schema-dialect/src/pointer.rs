//! JSON Pointers.

use std::borrow::Cow;

/// Returns a JSON Pointer with one more reference token, escaped as in RFC 6901, section 3.
#[must_use]
pub fn pointer(base: &str, token: &str) -> String {
    let mut pointer = base.to_owned();
    push(&mut pointer, token);
    pointer
}

/// Adds a reference token to a JSON Pointer.
pub fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for part in token.split_inclusive(['~', '/']) {
        match part.strip_suffix(['~', '/']) {
            Some(before) => {
                pointer.push_str(before);
                pointer.push_str(if part.ends_with('~') { "~0" } else { "~1" });
            }
            None => pointer.push_str(part),
        }
    }
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
        let mut pointer = String::new();
        self.write(&mut pointer);
        pointer
    }

    fn write(&self, pointer: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(pointer);
        }
        match self.token {
            Token::Base(base) => pointer.push_str(base),
            Token::Name(name) => push(pointer, name),
            Token::Index(index) => push(pointer, &index.to_string()),
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
        let (root, name) = (Location::new("/a"), "/~1");
        assert_eq!(root.index(3).name(name).render(), "/a/3/~1~01");
    }
}
