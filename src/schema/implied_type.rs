//! Implied type of a schema without `type`: the type that its other keywords apply to.
//!
//! JSON Schema lets a value of any other type pass such keywords, but their author means values of that type.

use serde_json::Value;

/// Keywords that apply to one type of values, with that type; objects first.
const KEYWORD_TYPES: [(&str, &str); 20] = [
    ("properties", "object"),
    ("required", "object"),
    ("additionalProperties", "object"),
    ("patternProperties", "object"),
    ("propertyNames", "object"),
    ("minProperties", "object"),
    ("maxProperties", "object"),
    ("items", "array"),
    ("prefixItems", "array"),
    ("contains", "array"),
    ("minItems", "array"),
    ("maxItems", "array"),
    ("uniqueItems", "array"),
    ("pattern", "string"),
    ("format", "string"),
    ("minLength", "string"),
    ("maxLength", "string"),
    ("minimum", "number"),
    ("maximum", "number"),
    ("multipleOf", "number"),
];

/// Returns the implied type of a schema, an object before an array before a scalar. `None`: no keyword implies a type.
pub fn implied_type(schema: &Value) -> Option<&'static str> {
    let mut implied = KEYWORD_TYPES.into_iter();
    implied
        .find(|(keyword, _)| schema.get(keyword).is_some())
        .map(|(_, implied)| implied)
}
