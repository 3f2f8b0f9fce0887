//! From a JSON Schema to the grammar that decoding is held to.
//!
//! A schema comes from a caller and may be hostile: its size and depth are bounded before it is compiled, the library's
//! own limits bound the rest, and what it refuses or panics on is decoded freely (the answer is validated later in any
//! case). It must not know sequences or requests.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::{Map, Value};
use toktrie::{InferenceCapabilities, TokEnv};

/// A schema beyond this is decoded freely. Real ones have some kilobytes; compiling 256 kB takes about a second.
const LARGEST_SCHEMA_BYTES: usize = 256 * 1024;

/// `serde_json` reads at most 128 levels, and the library recurses over them.
const DEEPEST_SCHEMA: usize = 128;

/// Compiled grammars that are kept: a batch has one, and some batches run at a time.
const KEPT: usize = 32;

/// What stands between two items and after a key. With spaces there are more tokens, and more answers were wrong.
const ITEM_SEPARATOR: &str = ",";
const KEY_SEPARATOR: &str = ":";

/// Compiles schemas for one model and keeps what it compiled.
pub struct Grammars {
    factory: ParserFactory,
    kept: VecDeque<Kept>,
}

struct Kept {
    schema: String,
    /// `None` when the schema cannot be taken.
    grammar: Option<Matcher>,
}

impl Grammars {
    /// # Errors
    /// The library's words, when it cannot take the model's vocabulary.
    pub fn new(vocabulary: &TokEnv) -> Result<Self, String> {
        let capabilities = InferenceCapabilities {
            ff_tokens: true,
            ..InferenceCapabilities::default()
        };
        let slices = llguidance::earley::SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(vocabulary, capabilities, &slices)
            .map_err(|error| error.to_string())?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self {
            factory,
            kept: VecDeque::new(),
        })
    }

    /// A fresh grammar for one answer, compiled once for each schema. `None` when the schema cannot be taken.
    pub fn get(&mut self, schema: &Value) -> Option<Matcher> {
        if !is_shallow(schema) {
            return None;
        }
        let key = schema.to_string();
        if key.len() > LARGEST_SCHEMA_BYTES {
            return None;
        }
        let found = self.kept.iter().position(|kept| kept.schema == key);
        let kept = found.and_then(|index| self.kept.remove(index));
        let kept = kept.unwrap_or_else(|| Kept {
            schema: key,
            grammar: self.compile(schema),
        });
        let grammar = kept.grammar.as_ref().map(Matcher::deep_clone);
        self.kept.truncate(KEPT - 1);
        self.kept.push_front(kept);
        grammar
    }

    fn compile(&self, schema: &Value) -> Option<Matcher> {
        let grammar = TopLevelGrammar::from_json_schema(with_options(closed(schema))?);
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            Matcher::new(self.factory.create_parser(grammar))
        }));
        let Ok(matcher) = compiled else {
            tracing::warn!(
                "compiling a schema into a grammar panicked: its answers are decoded freely"
            );
            return None;
        };
        if matcher.is_error() {
            // The library's message can quote the schema, which is a caller's and does not belong into the log.
            tracing::debug!(
                "a schema cannot be made into a grammar: its answers are decoded freely"
            );
            return None;
        }
        Some(matcher)
    }
}

/// The library's defaults are for a trusted caller: half a gigabyte of lexer states for one answer.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Compact output, and what the library does not know (`not`, `if`, …) left to the validator.
///
/// `None` for `false`, which nothing satisfies.
fn with_options(schema: Value) -> Option<Value> {
    let mut schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(true) => Map::new(),
        _ => return None,
    };
    let options = JsonCompileOptions {
        item_separator: ITEM_SEPARATOR.to_owned(),
        key_separator: KEY_SEPARATOR.to_owned(),
        whitespace_flexible: false,
        coerce_one_of: true,
        lenient: true,
        ..JsonCompileOptions::default()
    };
    schema.insert("x-guidance".to_owned(), serde_json::to_value(options).ok()?);
    Some(Value::Object(schema))
}

/// Whether a value is at most [`DEEPEST_SCHEMA`] levels deep; does not recurse.
fn is_shallow(value: &Value) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > DEEPEST_SCHEMA {
            return false;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                open.extend(members.values().map(|member| (member, depth + 1)))
            }
            _ => {}
        }
    }
    true
}

/// The schema with each plain object closed to properties that it does not name.
///
/// JSON Schema leaves objects open, and a small model then goes on inventing properties. A closed answer is valid against
/// the open schema too. Objects that are composed (`allOf`, `$ref`, …) stay as they are, since closing a part could
/// contradict another.
fn closed(schema: &Value) -> Value {
    const COMPOSED: [&str; 7] = [
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "$ref",
        "$dynamicRef",
    ];
    const OPENED: [&str; 4] = [
        "additionalProperties",
        "patternProperties",
        "unevaluatedProperties",
        "minProperties",
    ];
    let Value::Object(members) = schema else {
        return schema.clone();
    };
    if COMPOSED
        .iter()
        .any(|keyword| members.contains_key(*keyword))
    {
        return schema.clone();
    }
    let mut members = members.clone();
    for keyword in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(schemas)) = members.get_mut(keyword) {
            schemas
                .values_mut()
                .for_each(|schema| *schema = closed(schema));
        }
    }
    if let Some(items) = members.get_mut("items") {
        *items = closed(items);
    }
    if members.contains_key("properties")
        && !OPENED.iter().any(|keyword| members.contains_key(*keyword))
    {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_objects_are_closed_and_composed_ones_are_not() {
        let open = json!({"properties": {"a": {"items": {"properties": {"b": true}}}, "c": {"allOf": [{"properties": {}}]}}});
        let closed = closed(&open);
        assert_eq!(closed["additionalProperties"], json!(false));
        assert_eq!(
            closed["properties"]["a"]["items"]["additionalProperties"],
            json!(false)
        );
        assert_eq!(closed["properties"]["c"], open["properties"]["c"]);
    }

    #[test]
    fn depth_is_measured_without_recursion() {
        let mut deep = json!({});
        for _ in 0..DEEPEST_SCHEMA {
            deep = json!({"items": deep});
        }
        assert!(!is_shallow(&deep));
        assert!(is_shallow(&json!({"items": {}})));
    }
}
