//! Formats that old drafts do not define, but that schemas of old drafts use.

use std::sync::LazyLock;

use jsonschema::{Draft, ValidationOptions, Validator};
use serde_json::{Value, json};

/// Validators of the formats that came after draft 7, by the newest draft.
static NEWER: LazyLock<Vec<(&str, Validator)>> = LazyLock::new(|| {
    let validator = |format: &'static str| {
        let options = jsonschema::options().should_validate_formats(true);
        let built = options.build(&json!({"format": format})).ok()?;
        Some((format, built))
    };
    ["uuid", "duration"]
        .into_iter()
        .filter_map(validator)
        .collect()
});

fn is_valid(format: &str, text: &str) -> bool {
    let known = NEWER.iter().find(|(known, _)| *known == format);
    known.is_none_or(|(_, validator)| validator.is_valid(&Value::from(text)))
}

/// Lets the formats that came after draft 7 be checked under older drafts too.
pub fn with_newer_formats(options: ValidationOptions<'_>, draft: Draft) -> ValidationOptions<'_> {
    if draft > Draft::Draft7 {
        return options;
    }
    options
        .with_format("uuid", |text: &str| is_valid("uuid", text))
        .with_format("duration", |text: &str| is_valid("duration", text))
}
