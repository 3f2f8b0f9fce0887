//! Text of a limited length, such as a quoted part of a schema.

use std::fmt::{self, Write};

/// Formats a value up to `max_bytes`; an ellipsis marks omitted text.
#[must_use]
pub fn shortened(value: &impl fmt::Display, max_bytes: usize) -> String {
    let mut short = ShortText::new(max_bytes);
    if write!(short, "{value}").is_err() {
        short.text.push('…');
    }
    short.text
}

/// Writer that fails after `max_bytes` bytes.
#[derive(Debug)]
pub struct ShortText {
    pub text: String,
    max_bytes: usize,
}

impl ShortText {
    /// Creates an empty text.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            text: String::new(),
            max_bytes,
        }
    }
}

impl Write for ShortText {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.max_bytes - self.text.len();
        let taken = more.floor_char_boundary(room);
        self.text.push_str(more.get(..taken).unwrap_or_default());
        if taken == more.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
