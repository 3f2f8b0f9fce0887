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

/// Returns true if a keyword for which `has_keyword` returns true implies the type.
pub fn is_type_implied(type_name: &str, has_keyword: impl Fn(&str) -> bool) -> bool {
    KEYWORD_TYPES
        .iter()
        .any(|(keyword, implied)| *implied == type_name && has_keyword(keyword))
}

/// Returns the implied type of a schema, an object before an array before a scalar. `None`: no keyword implies a type.
pub fn implied_type(schema: &Value) -> Option<&'static str> {
    let mut implied = KEYWORD_TYPES.into_iter();
    implied
        .find(|(keyword, _)| schema.get(keyword).is_some())
        .map(|(_, implied)| implied)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keywords_imply_the_type_they_apply_to() {
        for (schema, expected) in [
            (json!({"properties": {}, "minLength": 1}), Some("object")),
            (json!({"prefixItems": []}), Some("array")),
            (json!({"minimum": 1}), Some("number")),
            (json!({"title": "a", "enum": [1]}), None),
            (json!(true), None),
        ] {
            assert_eq!(implied_type(&schema), expected, "{schema}");
        }
        assert!(is_type_implied("string", |keyword| keyword == "pattern"));
        assert!(!is_type_implied("object", |keyword| keyword == "pattern"));
    }
}
