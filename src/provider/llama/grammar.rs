//! Compiles a JSON Schema into a grammar for constrained decoding (llguidance).
//!
//! A schema comes from a caller and may be hostile. Its size, its depth and the states of its grammar
//! are bounded before it is compiled; the library's own limits and a time limit bound the rest. A schema that the library rejects or panics
//! on is decoded without a grammar, since the answer is validated later in any case. This module
//! must not know sequences or requests.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::{Map, Value};
use toktrie::{InferenceCapabilities, TokEnv};

use super::grammar_cost;

/// Maximum size of a schema that is compiled. Real ones have some kilobytes; compiling 256 kB takes
/// about a second.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Maximum nesting of a schema that is compiled. `serde_json` parses at most 128 levels, and the
/// library recurses over them.
const MAX_SCHEMA_DEPTH: usize = 128;

/// Stack size of the compiling thread: the library recurses over the schema.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Maximum number of cached grammars: a batch has one, and some batches run at a time.
const MAX_CACHED: usize = 32;

/// Separators of compact JSON. With spaces there are more tokens, and more answers were wrong.
const ITEM_SEPARATOR: &str = ",";
const KEY_SEPARATOR: &str = ":";

/// Maximum time that the preparing thread waits for a grammar. An answer whose grammar takes longer is decoded without it.
const MAX_COMPILE_TIME: Duration = Duration::from_secs(1);

/// Grammars of schemas for one model: a cache, last used first, and the thread that compiles.
///
/// The thread of its own lets the requests behind an expensive schema go on. While it is busy with a schema that has taken too
/// long, other schemas that are not cached are decoded without a grammar.
pub struct Grammars {
    cache: VecDeque<CachedGrammar>,
    schemas: SyncSender<(String, Value)>,
    results: Receiver<CachedGrammar>,
    /// True if the thread still compiles a schema that was not waited for.
    is_overdue: bool,
}

struct CachedGrammar {
    schema: String,
    /// `None`: the schema cannot be compiled.
    grammar: Option<Matcher>,
}

impl Grammars {
    /// Creates the cache, and starts the compiling thread, which ends with it.
    ///
    /// # Errors
    /// If the library cannot use the model's vocabulary; with the library's message.
    pub fn new(vocabulary: &TokEnv) -> Result<Self, String> {
        let compiler = Compiler::new(vocabulary)?;
        let (schemas, to_compile) = sync_channel::<(String, Value)>(1);
        let (done, results) = sync_channel(1);
        let run = move || {
            while let Ok((key, schema)) = to_compile.recv() {
                let grammar = compiler.compile(&schema);
                let result = CachedGrammar {
                    schema: key,
                    grammar,
                };
                if done.send(result).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("model-grammar".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(run)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            cache: VecDeque::new(),
            schemas,
            results,
            is_overdue: false,
        })
    }

    /// Returns a fresh grammar for one answer, compiled once for each schema. `None`: the schema
    /// cannot be compiled, or costs too much.
    pub fn get(&mut self, schema: &Value) -> Option<Matcher> {
        if !is_shallow(schema) {
            return None;
        }
        let key = schema.to_string();
        if key.len() > MAX_SCHEMA_BYTES {
            return None;
        }
        self.take_overdue();
        let position = self.cache.iter().position(|cached| cached.schema == key);
        let cached = match position.and_then(|index| self.cache.remove(index)) {
            Some(cached) => cached,
            None if grammar_cost::states(schema) > grammar_cost::MAX_STATES => {
                tracing::debug!(
                    "the grammar of a schema would have too many states; its answers are decoded without a grammar and only validated"
                );
                CachedGrammar {
                    schema: key,
                    grammar: None,
                }
            }
            None => self.compile(key, schema)?,
        };
        let grammar = cached.grammar.as_ref().map(Matcher::deep_clone);
        self.keep(cached);
        grammar
    }

    fn keep(&mut self, cached: CachedGrammar) {
        self.cache.truncate(MAX_CACHED - 1);
        self.cache.push_front(cached);
    }

    /// Takes a grammar that was compiled after all.
    fn take_overdue(&mut self) {
        if self.is_overdue
            && let Ok(compiled) = self.results.try_recv()
        {
            self.is_overdue = false;
            self.keep(compiled);
        }
    }

    /// Has a schema compiled. `None`: that takes too long, or the thread is busy with one that does.
    fn compile(&mut self, key: String, schema: &Value) -> Option<CachedGrammar> {
        if self.is_overdue || self.schemas.try_send((key, schema.clone())).is_err() {
            return None;
        }
        let compiled = self.results.recv_timeout(MAX_COMPILE_TIME);
        if matches!(compiled, Err(RecvTimeoutError::Timeout)) {
            tracing::debug!(
                "compiling a schema into a grammar takes long; until it is compiled, its answers are decoded without a grammar and only validated"
            );
            self.is_overdue = true;
        }
        compiled.ok()
    }
}

/// Compiler of schemas for one model.
struct Compiler(ParserFactory);

impl Compiler {
    fn new(vocabulary: &TokEnv) -> Result<Self, String> {
        let capabilities = InferenceCapabilities {
            ff_tokens: true,
            ..InferenceCapabilities::default()
        };
        let slices = llguidance::earley::SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(vocabulary, capabilities, &slices)
            .map_err(|error| error.to_string())?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self(factory))
    }

    fn compile(&self, schema: &Value) -> Option<Matcher> {
        let grammar = TopLevelGrammar::from_json_schema(with_options(close_objects(schema))?);
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            Matcher::new(self.0.create_parser(grammar))
        }));
        let Ok(matcher) = compiled else {
            tracing::warn!(
                "compiling a schema into a grammar panicked; its answers are decoded without a grammar and only validated"
            );
            return None;
        };
        if matcher.is_error() {
            // The library's message can quote the schema, which is a caller's and does not belong
            // into the log.
            tracing::debug!(
                "a schema cannot be compiled into a grammar; its answers are decoded without a grammar and only validated"
            );
            return None;
        }
        Some(matcher)
    }
}

/// Returns limits for hostile schemas. The library's defaults suit trusted callers: half a gigabyte
/// of lexer states for one answer.
fn limits() -> ParserLimits {
    ParserLimits {
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Adds the library's options: compact JSON, and keywords that it does not know (`not`, `if`, …)
/// are ignored.
///
/// Returns `None` for the schema `false`, which nothing satisfies.
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

/// Returns true if a value is at most [`MAX_SCHEMA_DEPTH`] levels deep. Does not recurse.
fn is_shallow(value: &Value) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_SCHEMA_DEPTH {
            return false;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            _ => {}
        }
    }
    true
}

/// Returns the schema with `additionalProperties: false` in each plain object.
///
/// Objects are open by default in JSON Schema, and a small model then keeps inventing properties.
/// An answer without additional properties is valid against the open schema too. Composed objects
/// (`allOf`, `$ref`, …) are unchanged, since closing a part could contradict another.
fn close_objects(schema: &Value) -> Value {
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
                .for_each(|schema| *schema = close_objects(schema));
        }
    }
    if let Some(items) = members.get_mut("items") {
        *items = close_objects(items);
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
        let closed = close_objects(&open);
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
        for _ in 0..MAX_SCHEMA_DEPTH {
            deep = json!({"items": deep});
        }
        assert!(!is_shallow(&deep));
        assert!(is_shallow(&json!({"items": {}})));
    }
}
