//! Formats: their description for prompts, and those that schemas of old drafts use although these do not define them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::{Draft, ValidationOptions, Validator};
use schema_dialect::{NodeRef, Tree, format};
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

/// Returns a line that describes the formats of a schema that models often get wrong; empty if it uses none.
pub fn notes(tree: &Tree) -> String {
    let used: BTreeSet<_> = tree
        .schemas()
        .into_iter()
        .filter_map(NodeRef::format)
        .collect();
    let described = used
        .into_iter()
        .filter(|name| format::needs_words(name))
        .filter_map(|name| Some(format!("{name} is {}", format::describe(name)?)));
    let notes = described.collect::<Vec<_>>().join("; ");
    if notes.is_empty() {
        return notes;
    }
    format!("Formats: {notes}.")
}

#[cfg(test)]
mod tests {
    use super::super::Schema;

    #[test]
    fn formats_that_need_words_are_described() {
        let schema = r##"{"properties": {"at": {"$ref": "#/$defs/at"}, "on": {"format": "date"}}, "$defs": {"at": {"format": "date-time"}}}"##;
        let notes = Schema::compile(schema).unwrap().format_notes().to_owned();
        assert!(
            notes.starts_with("Formats: date-time is a date-time with a UTC offset (YYYY-"),
            "{notes}"
        );
        assert!(!notes.contains("; "), "{notes}");
        assert_eq!(Schema::compile("{}").unwrap().format_notes(), "");
    }
}
