//! What jsonschema finds wrong, in few words: it quotes whole values, and a value may be a megabyte.

use std::fmt::{self, Write};

use jsonschema::ValidationError;

use crate::types::{Code, Error, FieldError, truncate_for_display, truncate_pointer};

/// A text that is written in full or not at all, in bytes.
const MAX_SHORT_BYTES: usize = 4096;
/// What is shown of a value that is too long to be told, in bytes.
const MAX_SHOWN_BYTES: usize = 150;

/// What is wrong with an instance.
pub fn fault(error: &ValidationError<'_>) -> FieldError {
    FieldError {
        pointer: truncate_pointer(error.instance_path().as_str()).to_owned(),
        message: message(error),
    }
}

/// What jsonschema has against a schema; it says little of a regular expression.
pub fn refusal(error: &ValidationError<'_>) -> Error {
    let at = error.instance_path().as_str();
    let is_regex = at.ends_with("/pattern") || at.contains("/patternProperties/");
    if is_regex && short(error).is_none_or(|message| message.contains("regex")) {
        let message = "not a regular expression that can be used here: it has to run in linear time, so without look-around and \
                       backreferences, and must not grow too large";
        return invalid(
            at,
            &format!(
                "{} is {message}",
                truncate_for_display(&error.instance().to_string())
            ),
        );
    }
    invalid(at, &message(error))
}

/// `invalid_schema` at a place of it.
pub fn invalid(pointer: &str, message: &str) -> Error {
    Error::with_pointer(
        Code::InvalidSchema,
        truncate_pointer(pointer),
        truncate_for_display(message),
    )
}

fn message(error: &ValidationError<'_>) -> String {
    if let Some(whole) = short(error) {
        return truncate_for_display(&whole).into_owned();
    }
    // Its end says what is wrong, so the value in it is shortened rather than the message.
    let mut shown = Short::new(MAX_SHOWN_BYTES);
    // What does not fit is left out.
    let _ = write!(shown, "{}", error.instance());
    let mut told = Short::new(MAX_SHORT_BYTES);
    let _ = write!(told, "{}", error.masked_with(format!("{} …", shown.text)));
    truncate_for_display(&told.text).into_owned()
}

fn short(value: &impl fmt::Display) -> Option<String> {
    let mut short = Short::new(MAX_SHORT_BYTES);
    write!(short, "{value}").ok().map(|()| short.text)
}

/// The beginning of what it says, written no further than that.
pub fn shortened(value: &impl fmt::Display, max_bytes: usize) -> String {
    let mut short = Short::new(max_bytes);
    if write!(short, "{value}").is_err() {
        short.text.push('…');
    }
    short.text
}

/// Takes so many bytes, and then refuses more.
struct Short {
    text: String,
    max_bytes: usize,
}

impl Short {
    const fn new(max_bytes: usize) -> Self {
        Self {
            text: String::new(),
            max_bytes,
        }
    }
}

impl Write for Short {
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
