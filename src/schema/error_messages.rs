//! Conversion of jsonschema errors to field errors with short messages: jsonschema quotes whole values, which may be large.

use std::fmt::{self, Write};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use schema_dialect::{ShortText, shortened};

use crate::types::{Code, Error, FieldError, truncate_for_display};

/// Maximum number of errors reported for an answer, which keeps the validation retry small.
pub const MAX_FAULTS: usize = 20;
/// Maximum length of a message that is formatted in full, in bytes.
const MAX_SHORT_BYTES: usize = 4096;
/// Maximum length of a quoted value in a shortened message, in bytes.
const MAX_SHOWN_BYTES: usize = 150;
/// Maximum nesting of `anyOf` and `oneOf` that is looked into for the branch that a value resembles.
const MAX_NESTED_CHOICES: usize = 16;
/// Maximum number of alternatives whose errors are listed when a value resembles none.
const MAX_REASONS: usize = 4;

/// Converts the validation errors of an instance, at most `max`.
///
/// An error of `anyOf` or `oneOf` is replaced by those of the branch that the value resembles, each at its own place.
pub fn field_errors<'i>(
    errors: impl Iterator<Item = ValidationError<'i>>,
    max: usize,
) -> Vec<FieldError> {
    let mut converted = Vec::new();
    for error in errors {
        expand(&error, 0, &mut converted);
        if converted.len() >= max {
            break;
        }
    }
    converted.truncate(max);
    converted
}

/// Appends an error, or what is wrong by the branch that is meant.
fn expand(error: &ValidationError<'_>, depth: usize, converted: &mut Vec<FieldError>) {
    let branches = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }
            if depth < MAX_NESTED_CHOICES =>
        {
            context
        }
        _ => {
            converted.push(field_error(error));
            return;
        }
    };
    match resembled_branch(error, branches) {
        Some(branch) => {
            for inner in branch {
                expand(inner, depth + 1, converted);
            }
        }
        None => converted.push(FieldError::new(location(error), no_branch(error, branches))),
    }
}

/// Returns the errors of the branch that the value resembles: its type fits, then its discriminator, then it has the fewest errors.
/// `None`: no branch is nearer than all others.
fn resembled_branch<'e>(
    error: &ValidationError<'_>,
    branches: &'e [Vec<ValidationError<'static>>],
) -> Option<&'e Vec<ValidationError<'static>>> {
    let root = error.instance_path().as_str();
    let scores: Vec<_> = branches.iter().map(|branch| score(root, branch)).collect();
    let best = scores.iter().min()?;
    let is_type_wrong = best.0 > 0;
    let mut nearest = scores
        .iter()
        .zip(branches)
        .filter(|(score, _)| *score == best);
    let (_, first) = nearest.next()?;
    (!is_type_wrong && (nearest.next().is_none() || has_inner(root, first))).then_some(first)
}

/// Returns true if an error is below the value itself.
fn has_inner(root: &str, branch: &[ValidationError<'_>]) -> bool {
    branch
        .iter()
        .any(|error| error.instance_path().as_str().len() > root.len())
}

/// Returns how far a value is from a branch: wrong type, wrong discriminators, missing and unexpected members, number of errors.
fn score(root: &str, branch: &[ValidationError<'_>]) -> (usize, usize, usize, usize) {
    let mut score = (0, 0, 0, branch.len());
    for error in branch {
        let inner = error
            .instance_path()
            .as_str()
            .strip_prefix(root)
            .unwrap_or_default();
        match error.kind() {
            ValidationErrorKind::Type { .. } if inner.is_empty() => score.0 += 1,
            // `const` and `enum` of the value itself, or of its own members, tell branches apart.
            ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. }
                if inner.matches('/').count() <= 1 =>
            {
                score.1 += 1;
            }
            ValidationErrorKind::Required { .. }
            | ValidationErrorKind::AdditionalProperties { .. }
                if inner.is_empty() =>
            {
                score.2 += 1;
            }
            ValidationErrorKind::AnyOf { context }
            | ValidationErrorKind::OneOfNotValid { context }
                if inner.is_empty() =>
            {
                let nested = context.iter().map(|branch| self::score(root, branch)).min();
                let nested = nested.unwrap_or_default();
                score = (
                    score.0 + nested.0,
                    score.1 + nested.1,
                    score.2 + nested.2,
                    score.3 + nested.3,
                );
            }
            _ => {}
        }
    }
    score
}

/// Returns the message about a value that resembles no branch: the types that the branches take, or the error of each.
fn no_branch(error: &ValidationError<'_>, branches: &[Vec<ValidationError<'static>>]) -> String {
    let mut types = JsonTypes::default();
    if branches.iter().all(|branch| types.add_all(branch)) && !types.0.is_empty() {
        return expected(&types.words(), error);
    }
    let mut reasons: Vec<String> = branches
        .iter()
        .filter_map(|branch| branch.first())
        .map(message)
        .collect();
    reasons.dedup();
    reasons.truncate(MAX_REASONS);
    truncate_for_display(&format!(
        "fits none of the alternatives: {}",
        reasons.join("; or ")
    ))
    .into_owned()
}

/// Types that are taken, in words.
#[derive(Default)]
struct JsonTypes(Vec<&'static str>);

impl JsonTypes {
    /// Adds the types of a branch that fails by its type alone. Returns false for another branch.
    fn add_all(&mut self, branch: &[ValidationError<'_>]) -> bool {
        branch.iter().all(|error| match error.kind() {
            ValidationErrorKind::Type { kind } => {
                self.add(kind);
                true
            }
            _ => false,
        })
    }

    fn add(&mut self, kind: &TypeKind) {
        let names: Vec<&'static str> = match kind {
            TypeKind::Single(kind) => vec![kind.as_str()],
            TypeKind::Multiple(kinds) => kinds.iter().map(JsonType::as_str).collect(),
        };
        for name in names {
            let words = match name {
                "integer" => "an integer",
                "object" => "an object",
                "array" => "an array",
                "string" => "a string",
                "number" => "a number",
                "boolean" => "a boolean",
                _ => "null",
            };
            if !self.0.contains(&words) {
                self.0.push(words);
            }
        }
    }

    fn words(&self) -> String {
        match self.0.as_slice() {
            [] => String::new(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        }
    }
}

fn location<'e>(error: &'e ValidationError<'_>) -> &'e str {
    error.instance_path().as_str()
}

/// Converts a validation error of an instance.
pub fn field_error(error: &ValidationError<'_>) -> FieldError {
    FieldError::new(location(error), message(error))
}

/// Converts an error of compiling a schema. jsonschema's message about a regular expression is replaced.
pub fn schema_error(error: &ValidationError<'_>) -> Error {
    let at = error.instance_path().as_str();
    let is_regex = at.ends_with("/pattern") || at.contains("/patternProperties");
    if is_regex && short(error).is_none_or(|message| message.contains("regex")) {
        return not_a_pattern(at, &error.instance().to_string());
    }
    invalid(at, &message(error))
}

/// Creates the error about a regular expression that does not compile.
pub fn not_a_pattern(at: &str, pattern: &str) -> Error {
    let shown = truncate_for_display(pattern);
    let message = "is not a regular expression that can be used here: it is not valid (ECMA 262), or takes more than 16 MiB once \
                   compiled";
    invalid(at, &format!("{shown} {message}"))
}

/// Creates an `invalid_schema` error at a pointer into the schema.
pub fn invalid(pointer: &str, message: &str) -> Error {
    Error::with_pointer(Code::InvalidSchema, pointer, truncate_for_display(message))
}

/// Returns "expected …, got …".
fn expected(what: &str, error: &ValidationError<'_>) -> String {
    let got = shortened(error.instance(), MAX_SHOWN_BYTES);
    format!("expected {what}, got {got}")
}

fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let mut types = JsonTypes::default();
            types.add(kind);
            return expected(&types.words(), error);
        }
        ValidationErrorKind::Format { format } => {
            if let Some(words) = schema_dialect::format::describe(format) {
                return expected(words, error);
            }
        }
        ValidationErrorKind::BacktrackLimitExceeded { .. } => {
            return "the regular expression took too many steps on this text, so it counts as not matched; simplify the `pattern`"
                .to_owned();
        }
        _ => {}
    }
    if let Some(whole) = short(error) {
        return truncate_for_display(&whole).into_owned();
    }
    // The end of the message has the reason, so the quoted value is shortened, not the message.
    let mut shown = ShortText::new(MAX_SHOWN_BYTES);
    // The rest is omitted.
    let _ = write!(shown, "{}", error.instance());
    let mut message = ShortText::new(MAX_SHORT_BYTES);
    let _ = write!(
        message,
        "{}",
        error.masked_with(format!("{} …", shown.text))
    );
    truncate_for_display(&message.text).into_owned()
}

fn short(value: &impl fmt::Display) -> Option<String> {
    let mut short = ShortText::new(MAX_SHORT_BYTES);
    write!(short, "{value}").ok().map(|()| short.text)
}
