//! Keywords of all drafts: what their values hold, which drafts know them, and what a mistyped one was meant to be.

use jsonschema::Draft;

/// Keyword of this service: with the value [`GROUNDING_OFF`], values of the schema have no evidence.
pub const GROUNDING: &str = "x-extractd-grounding";
/// Only value of [`GROUNDING`].
pub const GROUNDING_OFF: &str = "off";

/// Form of a keyword's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A value that is no schema.
    Value,
    /// A schema.
    One,
    /// An array of schemas.
    Many,
    /// An object of schemas by name.
    Named,
    /// A schema or an array of schemas.
    OneOrMany,
    /// An object of schemas or of arrays of names.
    Dependencies,
    /// Annotation, which does not constrain values.
    Annotation,
}

/// Every keyword, with the form of its value and the first and last draft that knows it.
const KEYWORDS: [(&str, Holds, Draft, Draft); 65] = {
    use Draft::{Draft4, Draft6, Draft7, Draft201909, Draft202012};
    use Holds::{Annotation, Dependencies, Many, Named, One, OneOrMany, Value};
    [
        ("$schema", Annotation, Draft4, Draft202012),
        ("$id", Annotation, Draft6, Draft202012),
        ("id", Annotation, Draft4, Draft4),
        ("$anchor", Annotation, Draft201909, Draft202012),
        ("$dynamicAnchor", Annotation, Draft202012, Draft202012),
        ("$recursiveAnchor", Annotation, Draft201909, Draft201909),
        ("$vocabulary", Annotation, Draft201909, Draft202012),
        ("$comment", Annotation, Draft4, Draft202012),
        ("title", Annotation, Draft4, Draft202012),
        ("description", Annotation, Draft4, Draft202012),
        ("default", Annotation, Draft4, Draft202012),
        ("examples", Annotation, Draft4, Draft202012),
        ("example", Annotation, Draft4, Draft202012),
        ("deprecated", Annotation, Draft4, Draft202012),
        ("readOnly", Annotation, Draft4, Draft202012),
        ("writeOnly", Annotation, Draft4, Draft202012),
        ("nullable", Annotation, Draft4, Draft202012),
        ("$defs", Named, Draft4, Draft202012),
        ("definitions", Named, Draft4, Draft202012),
        ("$ref", Value, Draft4, Draft202012),
        ("$dynamicRef", Value, Draft202012, Draft202012),
        ("$recursiveRef", Value, Draft201909, Draft201909),
        ("type", Value, Draft4, Draft202012),
        ("enum", Value, Draft4, Draft202012),
        ("const", Value, Draft6, Draft202012),
        ("format", Value, Draft4, Draft202012),
        ("pattern", Value, Draft4, Draft202012),
        ("minLength", Value, Draft4, Draft202012),
        ("maxLength", Value, Draft4, Draft202012),
        ("minimum", Value, Draft4, Draft202012),
        ("maximum", Value, Draft4, Draft202012),
        ("exclusiveMinimum", Value, Draft4, Draft202012),
        ("exclusiveMaximum", Value, Draft4, Draft202012),
        ("multipleOf", Value, Draft4, Draft202012),
        ("required", Value, Draft4, Draft202012),
        ("minProperties", Value, Draft4, Draft202012),
        ("maxProperties", Value, Draft4, Draft202012),
        ("dependentRequired", Value, Draft201909, Draft202012),
        ("minItems", Value, Draft4, Draft202012),
        ("maxItems", Value, Draft4, Draft202012),
        ("uniqueItems", Value, Draft4, Draft202012),
        ("minContains", Value, Draft201909, Draft202012),
        ("maxContains", Value, Draft201909, Draft202012),
        ("contentEncoding", Value, Draft6, Draft202012),
        ("contentMediaType", Value, Draft6, Draft202012),
        ("contentSchema", One, Draft201909, Draft202012),
        ("properties", Named, Draft4, Draft202012),
        ("patternProperties", Named, Draft4, Draft202012),
        ("additionalProperties", One, Draft4, Draft202012),
        ("unevaluatedProperties", One, Draft201909, Draft202012),
        ("propertyNames", One, Draft6, Draft202012),
        ("dependencies", Dependencies, Draft4, Draft202012),
        ("dependentSchemas", Named, Draft201909, Draft202012),
        ("items", OneOrMany, Draft4, Draft202012),
        ("prefixItems", Many, Draft202012, Draft202012),
        ("additionalItems", One, Draft4, Draft201909),
        ("unevaluatedItems", One, Draft201909, Draft202012),
        ("contains", One, Draft6, Draft202012),
        ("allOf", Many, Draft4, Draft202012),
        ("anyOf", Many, Draft4, Draft202012),
        ("oneOf", Many, Draft4, Draft202012),
        ("not", One, Draft4, Draft202012),
        ("if", One, Draft7, Draft202012),
        ("then", One, Draft7, Draft202012),
        ("else", One, Draft7, Draft202012),
    ]
};

fn all() -> impl Iterator<Item = (&'static str, Holds, Draft, Draft)> {
    KEYWORDS.into_iter()
}

/// Returns the form of a keyword's value. `None`: no draft knows the keyword.
pub fn holds(keyword: &str) -> Option<Holds> {
    entry(keyword).map(|(_, holds)| holds)
}

/// Returns a keyword's name as a constant, and the form of its value. `None`: no draft knows the keyword.
pub fn entry(keyword: &str) -> Option<(&'static str, Holds)> {
    all()
        .find(|(known, ..)| *known == keyword)
        .map(|(name, holds, ..)| (name, holds))
}

/// Returns true if the draft knows the keyword.
pub fn is_known(draft: Draft, keyword: &str) -> bool {
    all().any(|(known, _, first, last)| known == keyword && first <= draft && draft <= last)
}

/// Returns the first draft that knows the keyword.
pub fn first_draft(keyword: &str) -> Option<Draft> {
    all()
        .find(|(known, ..)| *known == keyword)
        .map(|(_, _, first, _)| first)
}

/// Returns true if the keyword does not constrain values.
#[must_use]
pub fn is_annotation(keyword: &str) -> bool {
    matches!(keyword, "$defs" | "definitions") || holds(keyword) == Some(Holds::Annotation)
}

/// Returns true if the keyword restricts or describes the value's form.
pub fn is_assertion(keyword: &str) -> bool {
    holds(keyword).is_some_and(|holds| holds != Holds::Annotation)
}

/// Formats of the drafts, and others that tools write knowingly. Only the former are checked.
const FORMATS: [&str; 50] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
    "uuid",
    // OpenAPI, and generators.
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float",
    "double",
    "decimal",
    "byte",
    "binary",
    "password",
    "phone",
    "color",
    "style",
    "utc-millisec",
    "guid",
    "time-span",
    "json",
    "markdown",
    "html",
    "base64",
    "base64url",
    "char",
    "currency",
    "char-sequence",
    "path",
    "file-path",
    "directory-path",
];

/// Spellings of formats that are too far from the right one to be found by distance.
const FORMAT_ALIASES: [(&str, &str); 9] = [
    ("datetime", "date-time"),
    ("timestamp", "date-time"),
    ("iso8601", "date-time"),
    ("iso-8601", "date-time"),
    ("url", "uri"),
    ("e-mail", "email"),
    ("mail", "email"),
    ("ip-address", "ipv4"),
    ("host-name", "hostname"),
];

/// Returns the keyword that a mistyped one probably was meant to be.
pub fn meant_keyword(name: &str) -> Option<&'static str> {
    nearest(name, all().map(|(known, ..)| known))
}

/// Returns the format that an unknown one probably was meant to be. `None`: it is known, or like none.
pub fn meant_format(name: &str) -> Option<&'static str> {
    if FORMATS.contains(&name) {
        return None;
    }
    let lower = name.to_lowercase().replace('_', "-");
    let alias = FORMAT_ALIASES.iter().find(|(alias, _)| *alias == lower);
    alias
        .map(|(_, meant)| *meant)
        .or_else(|| nearest(name, FORMATS.into_iter()))
}

/// Returns the type that an unknown type's name probably was meant to be.
pub fn meant_type(name: &str) -> Option<&'static str> {
    match name
        .to_lowercase()
        .trim_matches(|c: char| !c.is_alphanumeric())
    {
        "str" | "text" | "char" | "varchar" | "date" | "datetime" | "date-time" | "uuid"
        | "email" | "url" => Some("string"),
        "int" | "int32" | "int64" | "long" | "bigint" => Some("integer"),
        "float" | "double" | "decimal" | "num" | "numeric" => Some("number"),
        "bool" => Some("boolean"),
        "list" | "tuple" | "set" => Some("array"),
        "dict" | "map" | "record" | "struct" => Some("object"),
        "none" | "nil" | "undefined" => Some("null"),
        lower => nearest(lower, TYPES.into_iter())
            .or_else(|| TYPES.into_iter().find(|known| *known == lower)),
    }
}

/// Names of the types of JSON Schema.
pub const TYPES: [&str; 7] = [
    "string", "integer", "number", "boolean", "object", "array", "null",
];

/// Returns the nearest of some names, if it is near enough for a typing mistake.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let spelled = lower.replace(['_', '-'], "");
    let length = lower.chars().count();
    let most = match name.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    known
        .filter(|known| known.len() > 3 && *known != name)
        .map(|known| {
            let target = known.to_lowercase();
            let distance = if target.replace(['_', '-'], "") == spelled {
                0
            } else if length.abs_diff(target.len()) > most {
                // A schema may have any number of long names.
                usize::MAX
            } else {
                strsim::damerau_levenshtein(&lower, &target)
            };
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}
