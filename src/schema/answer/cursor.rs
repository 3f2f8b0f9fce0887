//! A place in a text: looking ahead, moving on, and what lies between the tokens (white space and comments).

#[cfg(debug_assertions)]
thread_local! {
    /// All bytes that any cursor has moved over: the work done, looking ahead included.
    pub static BYTES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A position in a text. Copied to look ahead.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// The longest last line in which a comment's end is looked for, in bytes.
const MAX_LAST_LINE: usize = 512;

/// What lay between two tokens.
#[derive(Debug, Default)]
pub struct Trivia {
    pub comment: bool,
    pub odd_space: bool,
    /// Where a comment says that something was left out (`// ...`): what is there is not the whole.
    pub elision: Option<usize>,
}

impl<'a> Cursor<'a> {
    /// `at` is a character boundary; anywhere else is the end of the text.
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

    /// The same place in a text that ends `bytes` from here at the latest.
    pub fn window(&self, bytes: usize) -> Self {
        let end = self.text.floor_char_boundary(self.at.saturating_add(bytes));
        Self {
            text: self.text.get(..end).unwrap_or(self.text),
            at: self.at,
        }
    }

    /// The text that it is a place in.
    pub fn whole(&self) -> &'a str {
        self.text
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text from `start` to here.
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

    /// Moves to the first character that `keep` refuses, or to the end.
    pub fn skip_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let start = self.at;
        let rest = self.rest();
        self.move_by(rest.find(|c| !keep(c)).unwrap_or(rest.len()));
        self.since(start)
    }

    /// Moves behind `pattern`, or to the end; returns what was before it.
    fn skip_past(&mut self, pattern: &str) -> &'a str {
        let rest = self.rest();
        let length = rest.find(pattern).unwrap_or(rest.len());
        self.move_by((length + pattern.len()).min(rest.len()));
        rest.get(..length).unwrap_or_default()
    }

    /// Where the text is one line, its comments end before the next bracket that has space before it: `{"a": 1 // one }`.
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
        #[cfg(debug_assertions)]
        BYTES_READ.set(BYTES_READ.get() + bytes);
    }

    /// Skips white space and comments. An unclosed comment leads to the end of the text.
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

/// White space by anyone's definition, and the characters that nobody sees.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// `...`: the model left something out.
pub fn is_elision(text: &str) -> bool {
    text.starts_with("...") || text.starts_with('…')
}

/// "line 2, column 5", both from 1; columns are characters.
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
