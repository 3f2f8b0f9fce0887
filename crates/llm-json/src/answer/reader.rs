//! State of the tolerant parser, and its error.

use super::cursor::Cursor;
use super::repair::Repairs;

/// Maximum nesting depth, as in `serde_json`: its recursion limit of 128 allows 127 levels.
pub const MAX_DEPTH: usize = 127;

/// Error message of an elision.
pub const LEFT_OUT: &str = "\"...\" stands for something that was left out";

/// Error message of a value that is nested too deeply.
pub const TOO_DEEP: &str = "it is nested more than 127 levels deep";
/// Reason why a text is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseFault {
    /// Byte offset of the error.
    pub at: usize,
    pub message: &'static str,
    /// True if the text ended first.
    pub cut: bool,
}

impl ParseFault {
    /// Creates an error of malformed text.
    pub fn new(at: usize, message: &'static str) -> Self {
        Self {
            at,
            message,
            cut: false,
        }
    }

    /// Creates the error of text that ends within a value.
    pub fn cut(at: usize) -> Self {
        Self {
            at,
            message: "the text ends here",
            cut: true,
        }
    }

    /// Returns the same error; for truncated text, with the start of the value in which the text
    /// ends.
    pub fn or_cut_at(self, start: usize) -> Self {
        if self.cut { Self::cut(start) } else { self }
    }
}

/// Meaning of an unquoted word outside all objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Text in brackets within a sentence: `[sic]`.
    Prose,
    /// An element, if there are several: `[red, blue]` at the start of the text or of a code block.
    Elements,
}

/// Start offsets of the unfinished member around the cursor.
#[derive(Debug, Clone, Copy)]
pub struct IncompleteToken {
    /// Start of the name.
    pub name: usize,
    /// Start of the value; `None` while the name or its colon is incomplete.
    pub value: Option<usize>,
}

/// State of the parser, which is moved forward by each of its methods.
pub struct Reader<'a> {
    pub cursor: Cursor<'a>,
    pub repairs: Repairs,
    /// Number of values that may still be parsed.
    pub room: &'a mut usize,
    /// Meaning of unquoted words outside objects.
    pub words: Words,
    /// Number of open brackets.
    pub depth: usize,
    /// Open brackets around the cursor, one bit per level, the innermost lowest: 1 for an object, 0
    /// for an array.
    pub open: u128,
    /// Depth of the innermost object whose opening brace is missing, 0 without one. Only its own brace closes it.
    pub unopened: usize,
    /// Number of open objects around the cursor.
    pub in_objects: usize,
    /// Number of objects in which the text ends.
    pub left_open: usize,
    /// The member that was begun last.
    pub begun: Option<IncompleteToken>,
    /// Start of the white space and comments in which the text ends.
    pub trailing: Option<usize>,
    /// True if the outermost object continued behind its closing brace.
    pub is_reopened: bool,
    /// True if a quoted string or a key was parsed.
    pub was_json: bool,
    /// Position up to which the end of a quoted code block was last searched.
    pub fences_sought: usize,
}

impl<'t> Reader<'t> {
    /// Creates a parser of the text from `at` on.
    pub fn new(text: &'t str, at: usize, words: Words, room: &'t mut usize) -> Self {
        let repairs = Repairs::default();
        Self {
            cursor: Cursor::new(text, at),
            repairs,
            room,
            words,
            depth: 0,
            open: 0,
            unopened: 0,
            in_objects: 0,
            left_open: 0,
            begun: None,
            trailing: None,
            is_reopened: false,
            was_json: false,
            fences_sought: 0,
        }
    }
}
