//! Position in a text: lookahead, movement, and the white space and comments between tokens.

#[cfg(any(test, feature = "counted"))]
thread_local! {
    /// Total number of bytes that all cursors have moved over, lookahead included.
    pub static BYTES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A position in a text. Copied for lookahead.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Maximum length of a last line in which the end of a comment is searched, in bytes.
const MAX_LAST_LINE: usize = 512;

/// White space and comments between two tokens.
#[derive(Debug, Default)]
pub struct Trivia {
    pub comment: bool,
    pub odd_space: bool,
    /// Start of a comment that marks omitted content (`// ...`), so that the value is incomplete.
    pub elision: Option<usize>,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor at the byte offset `at`, or at the end of the text if `at` is no character
    /// boundary.
    pub fn new(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at: if text.is_char_boundary(at) {
                at
            } else {
                text.len()
            },
        }
    }

    /// Returns the same position in a text that ends at most `bytes` further on.
    pub fn window(&self, bytes: usize) -> Self {
        let end = self.text.floor_char_boundary(self.at.saturating_add(bytes));
        Self {
            text: self.text.get(..end).unwrap_or(self.text),
            at: self.at,
        }
    }

    /// Returns the whole text.
    pub fn whole(&self) -> &'a str {
        self.text
    }

    pub fn offset(&self) -> usize {
        self.at
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the text from `start` to the position.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn previous(&self) -> Option<char> {
        self.since(0).chars().next_back()
    }

    pub fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.move_by(c.len_utf8());
        Some(c)
    }

    pub fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.move_by(prefix.len());
        }
        found
    }

    /// Moves to the first character that `keep` rejects, or to the end. Returns the skipped text.
    pub fn skip_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        let rest = self.rest();
        self.move_by(rest.find(|c| !keep(c)).unwrap_or(rest.len()));
        self.since(start)
    }

    /// Moves behind `pattern`, or to the end. Returns the text before the pattern.
    fn skip_past(&mut self, pattern: &str) -> &'a str {
        let rest = self.rest();
        let length = rest.find(pattern).unwrap_or(rest.len());
        self.move_by((length + pattern.len()).min(rest.len()));
        rest.get(..length).unwrap_or_default()
    }

    /// Moves over a line comment. In a text of one line, the comment ends before the next bracket
    /// preceded by a space: `{"a": 1 // one }`.
    fn line_comment(&mut self) -> &'a str {
        let rest = self.rest();
        let is_last_line = rest.len() <= MAX_LAST_LINE && !rest.contains('\n');
        let bracket = [" }", " ]"]
            .iter()
            .filter_map(|bracket| rest.find(bracket))
            .min()
            .filter(|_| is_last_line);
        let Some(length) = bracket else {
            return self.skip_past("\n");
        };
        self.move_by(length);
        rest.get(..length).unwrap_or_default()
    }

    fn move_by(&mut self, bytes: usize) {
        self.at += bytes;
        #[cfg(any(test, feature = "counted"))]
        BYTES_READ.set(BYTES_READ.get() + bytes);
    }

    /// Skips white space and comments. An unclosed comment extends to the end of the text.
    pub fn trivia(&mut self) -> Trivia {
        let mut trivia = Trivia::default();
        loop {
            let space = self.skip_while(is_space);
            trivia.odd_space |= !space.trim_matches([' ', '\t', '\r', '\n']).is_empty();
            let start = self.at;
            let body = if self.eat("/*") {
                self.skip_past("*/")
            } else if self.eat("//") || self.eat("#") {
                self.line_comment()
            } else {
                if self.rest() == "/" {
                    self.bump(); // the beginning of a comment
                }
                return trivia;
            };
            trivia.comment = true;
            if is_elision(body.trim_start()) {
                trivia.elision.get_or_insert(start);
            }
        }
    }
}

/// Returns true for Unicode white space and for invisible characters.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// Returns true for an ellipsis, with which models mark omitted content.
pub fn is_elision(text: &str) -> bool {
    text.starts_with("...") || text.starts_with('…')
}

/// Returns a position such as "line 2, column 5", both from 1; columns count characters.
pub fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    format!("line {line}, column {column}")
}
