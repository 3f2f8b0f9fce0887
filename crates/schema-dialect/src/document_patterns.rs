//! Regular expressions of a document, which a validator compiles whether or not something refers to their schemas.

use serde_json::Value;

use crate::pointer::Location;

/// Returns every regular expression of a document with its JSON Pointer, as often as it occurs.
#[must_use]
pub fn document_patterns(document: &Value) -> Vec<(String, &str)> {
    let mut patterns = Vec::new();
    collect(document, &Location::new(""), &mut patterns);
    patterns
}

fn collect<'d>(value: &'d Value, at: &Location<'_>, patterns: &mut Vec<(String, &'d str)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let at = at.name(name);
                match (name.as_str(), member) {
                    ("pattern", Value::String(pattern)) => patterns.push((at.render(), pattern)),
                    ("patternProperties", Value::Object(named)) => {
                        patterns.extend(named.keys().map(|pattern| (at.render(), &**pattern)));
                    }
                    _ => {}
                }
                collect(member, &at, patterns);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &at.index(index), patterns);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_found_in_definitions_too() {
        let document = json!({
            "properties": {"a/b": {"pattern": "^a"}},
            "$defs": {"unused": {"allOf": [{"patternProperties": {"^b": {"pattern": "^c"}}}]}}
        });
        let unused = "/$defs/unused/allOf/0/patternProperties";
        let expected = [
            ("/properties/a~1b/pattern".to_owned(), "^a"),
            (unused.to_owned(), "^b"),
            (format!("{unused}/^b/pattern"), "^c"),
        ];
        assert_eq!(document_patterns(&document), expected);
    }
}
