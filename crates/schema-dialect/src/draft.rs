//! Draft of a document: from its `$schema`, or else the newest one under whose meta-schema the document is valid.

use jsonschema::Draft;
use serde_json::Value;

use crate::SchemaError;

/// Drafts from the newest to the oldest.
const NEWEST_FIRST: [Draft; 5] = [
    Draft::Draft202012,
    Draft::Draft201909,
    Draft::Draft7,
    Draft::Draft6,
    Draft::Draft4,
];

/// Meaning of a `$schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// A known draft, in a spelling that jsonschema knows too.
    Exactly(Draft),
    /// A known draft in another spelling, such as one of its hyper-schema or with a stray character.
    Nearly(Draft),
    /// A meta-schema that is not known.
    Unknown,
}

/// Parts of a meta-schema's URI that tell the draft.
const MARKS: [(&str, Draft); 12] = [
    ("draft/2020-12", Draft::Draft202012),
    ("draft/next", Draft::Draft202012),
    ("draft2020-12", Draft::Draft202012),
    ("oas/3.1", Draft::Draft202012),
    ("oas/3.2", Draft::Draft202012),
    ("draft/2019-09", Draft::Draft201909),
    ("draft-07", Draft::Draft7),
    ("draft-06", Draft::Draft6),
    ("draft-05", Draft::Draft4),
    ("draft-04", Draft::Draft4),
    ("draft-03", Draft::Draft4),
    ("draft/2019-08", Draft::Draft201909),
];

/// Reads a `$schema`.
pub fn declared(uri: &str) -> Declared {
    let known = Draft::from_schema_uri(uri);
    if known != Draft::Unknown {
        return Declared::Exactly(known);
    }
    let is_official =
        uri.contains("json-schema.org") || uri.contains("openapis.org") || !uri.contains("://");
    let marked = MARKS
        .iter()
        .find(|(mark, _)| is_official && uri.contains(mark));
    match marked {
        Some((_, draft)) => Declared::Nearly(*draft),
        None if uri.contains("json-schema.org") => Declared::Nearly(Draft::Draft202012),
        None => Declared::Unknown,
    }
}

/// Returns the newest draft under whose meta-schema the document is valid.
///
/// # Errors
/// The violation of the newest draft, if the document is valid under none.
pub fn newest_valid(document: &Value) -> Result<Draft, SchemaError> {
    let valid = NEWEST_FIRST
        .into_iter()
        .find(|draft| is_valid(*draft, document));
    valid.map_or_else(
        || validate(Draft::Draft202012, document).map(|()| Draft::Draft202012),
        Ok,
    )
}

fn is_valid(draft: Draft, document: &Value) -> bool {
    match draft {
        Draft::Draft4 => jsonschema::draft4::meta::is_valid(document),
        Draft::Draft6 => jsonschema::draft6::meta::is_valid(document),
        Draft::Draft7 => jsonschema::draft7::meta::is_valid(document),
        Draft::Draft201909 => jsonschema::draft201909::meta::is_valid(document),
        _ => jsonschema::draft202012::meta::is_valid(document),
    }
}

/// Checks a document against the meta-schema of a draft.
///
/// # Errors
/// The first violation, in words.
pub fn validate(draft: Draft, document: &Value) -> Result<(), SchemaError> {
    let result = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validate(document),
        Draft::Draft6 => jsonschema::draft6::meta::validate(document),
        Draft::Draft7 => jsonschema::draft7::meta::validate(document),
        Draft::Draft201909 => jsonschema::draft201909::meta::validate(document),
        _ => jsonschema::draft202012::meta::validate(document),
    };
    result.map_err(|error| {
        crate::mistaken::violation(document, error.instance_path().as_str(), &error)
    })
}

/// Returns the name of a draft, as in "draft-07" and "2020-12".
pub const fn name(draft: Draft) -> &'static str {
    match draft {
        Draft::Draft4 => "draft-04",
        Draft::Draft6 => "draft-06",
        Draft::Draft7 => "draft-07",
        Draft::Draft201909 => "2019-09",
        _ => "2020-12",
    }
}
