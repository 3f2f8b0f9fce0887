//! Conversion of jsonschema errors to field errors with short messages: jsonschema quotes whole values, which may be large.

use std::fmt::{self, Write};

use jsonschema::ValidationError;

use crate::types::{Code, Error, FieldError, truncate_for_display, truncate_pointer};

/// Maximum length of a message that is formatted in full, in bytes.
const MAX_SHORT_BYTES: usize = 4096;
/// Maximum length of a quoted value in a shortened message, in bytes.
const MAX_SHOWN_BYTES: usize = 150;

/// Converts a validation error of an instance.
pub fn field_error(error: &ValidationError<'_>) -> FieldError {
    FieldError {
        pointer: truncate_pointer(error.instance_path().as_str()).to_owned(),
        message: message(error),
    }
}

/// Converts an error of compiling a schema. jsonschema's message about a regular expression is replaced.
pub fn schema_error(error: &ValidationError<'_>) -> Error {
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

/// Creates an `invalid_schema` error at a pointer into the schema.
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
    // The end of the message has the reason, so the quoted value is shortened, not the message.
    let mut shown = Short::new(MAX_SHOWN_BYTES);
    // The rest is omitted.
    let _ = write!(shown, "{}", error.instance());
    let mut message = Short::new(MAX_SHORT_BYTES);
    let _ = write!(
        message,
        "{}",
        error.masked_with(format!("{} …", shown.text))
    );
    truncate_for_display(&message.text).into_owned()
}

fn short(value: &impl fmt::Display) -> Option<String> {
    let mut short = Short::new(MAX_SHORT_BYTES);
    write!(short, "{value}").ok().map(|()| short.text)
}

/// Formats a value up to `max_bytes`; an ellipsis marks omitted text.
pub fn shortened(value: &impl fmt::Display, max_bytes: usize) -> String {
    let mut short = Short::new(max_bytes);
    if write!(short, "{value}").is_err() {
        short.text.push('…');
    }
    short.text
}

/// Writer that fails after `max_bytes` bytes.
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
