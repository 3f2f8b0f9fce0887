//! Compiles a JSON Schema into a grammar for constrained decoding (llguidance).
//!
//! A schema comes from a caller and may be hostile. Its size, its depth and the states of its grammar
//! are bounded before it is compiled; the library's own limits and a time limit bound the rest. A schema that the library rejects or panics
//! on is decoded without a grammar, since the answer is validated later in any case. This module
//! must not know sequences or requests.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use schema_dialect::{Edit, NodeId, NodeRef};
use serde_json::{Map, Value};
use toktrie::{InferenceCapabilities, TokEnv};

use super::answer_schema::{AnswerSchema, SchemaIdentity};
use super::closed_objects::closed_objects;
use super::grammar_cost;

/// Maximum size of a schema that is compiled, as it is written for the library. Real ones have some kilobytes; compiling 256 kB takes
/// about a second.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Maximum nesting of a schema that is compiled. `serde_json` parses at most 128 levels, and writing and the library recurse over
/// them.
const MAX_SCHEMA_DEPTH: usize = 128;

/// Stack size of the compiling thread: the library recurses over the schema.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Maximum number of cached grammars: a batch has one, and some batches run at a time.
const MAX_CACHED: usize = 32;

/// Separators of compact JSON. With spaces there are more tokens, and more answers were wrong.
const ITEM_SEPARATOR: &str = ",";
const KEY_SEPARATOR: &str = ":";

/// Maximum time for which answers wait while one schema is compiled. Then they are decoded without their grammars.
const MAX_COMPILE_TIME: Duration = Duration::from_secs(1);

/// Grammars of schemas for one model: a cache, last used first, and the thread that compiles.
///
/// That thread compiles one schema at a time; the answers of the others wait. While it is busy with a schema that has taken too long,
/// other schemas that are not cached are decoded without a grammar.
pub struct Grammars {
    cache: VecDeque<CachedGrammar>,
    schemas: SyncSender<(Key, Value)>,
    results: Receiver<CachedGrammar>,
    /// Time at which the thread began with its schema; `None`: it has none.
    compiling_since: Option<Instant>,
}

/// Grammar of a schema, as it is cached.
struct CachedGrammar {
    key: Key,
    /// `None`: the schema cannot be compiled.
    grammar: Option<Matcher>,
}

/// Key of a cached grammar. Most schemas are found by their identity, without being written; an equal schema of another request is
/// found by its text.
struct Key {
    identity: SchemaIdentity,
    /// Text of the schema. `None`: too deep or too large to be written.
    text: Option<Vec<u8>>,
}

impl Grammars {
    /// Creates the cache, and starts the compiling thread, which ends with it. The thread calls `on_compiled` after each schema.
    ///
    /// # Errors
    /// If the library cannot use the model's vocabulary; with the library's message.
    pub fn new(
        vocabulary: &TokEnv,
        on_compiled: impl Fn() + Send + 'static,
    ) -> Result<Self, String> {
        let compiler = Compiler::new(vocabulary)?;
        let (schemas, to_compile) = sync_channel::<(Key, Value)>(1);
        let (done, results) = sync_channel(1);
        let run = move || {
            while let Ok((key, schema)) = to_compile.recv() {
                let began = Instant::now();
                let grammar = compiler.compile(schema);
                if began.elapsed() >= MAX_COMPILE_TIME {
                    tracing::debug!(
                        "compiling a schema into a grammar took long; its answers so far were decoded without a grammar and only validated"
                    );
                }
                if done.send(CachedGrammar { key, grammar }).is_err() {
                    return;
                }
                on_compiled();
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
            compiling_since: None,
        })
    }

    /// Returns a fresh grammar for one answer, compiled once for each schema. `None`: the schema cannot be compiled, or costs too
    /// much. `Pending`: ask again when a schema was compiled, or at [`overdue_at`](Self::overdue_at).
    pub fn get(&mut self, schema: &AnswerSchema) -> Poll<Option<Matcher>> {
        self.take_compiled();
        let known = self.take(|key| key.identity.is_of(schema));
        let found = match known {
            Some(cached) => Some(cached),
            None => ready!(self.find_or_compile(schema)),
        };
        let grammar = found.and_then(|cached| {
            let grammar = cached.grammar.as_ref().map(Matcher::deep_clone);
            self.keep(cached);
            grammar
        });
        Poll::Ready(grammar)
    }

    /// Returns when the schema that is being compiled takes too long, so that the answers that wait are decoded without a grammar;
    /// `None`: no schema is being compiled.
    pub fn overdue_at(&self) -> Option<Instant> {
        Some(self.compiling_since? + MAX_COMPILE_TIME)
    }

    /// Finds the grammar of a schema that is not cached by its identity, or has the schema compiled once the thread is free. `None`: the
    /// schema that is being compiled takes too long.
    fn find_or_compile(&mut self, schema: &AnswerSchema) -> Poll<Option<CachedGrammar>> {
        let key = |text| Key {
            identity: schema.identity(),
            text,
        };
        let without_grammar = |key| Poll::Ready(Some(CachedGrammar { key, grammar: None }));
        if schema.tree().json_depth() > MAX_SCHEMA_DEPTH {
            return without_grammar(key(None));
        }
        let form = GrammarForm::new(schema);
        let Some(text) = form.text() else {
            return without_grammar(key(None));
        };
        if let Some(cached) = self.take(|key| key.text.as_ref() == Some(&text)) {
            let (key, grammar) = (key(Some(text)), cached.grammar);
            return Poll::Ready(Some(CachedGrammar { key, grammar }));
        }
        if let Some(began) = self.compiling_since {
            return if began.elapsed() < MAX_COMPILE_TIME {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        }
        if grammar_cost::states(schema.tree()) > grammar_cost::MAX_STATES {
            tracing::debug!(
                "the grammar of a schema would have too many states; its answers are decoded without a grammar and only validated"
            );
            return without_grammar(key(Some(text)));
        }
        let schema = (key(Some(text)), form.to_json());
        // It fails only without the thread.
        if self.schemas.try_send(schema).is_err() {
            return Poll::Ready(None);
        }
        self.compiling_since = Some(Instant::now());
        Poll::Pending
    }

    /// Takes a grammar out of the cache.
    fn take(&mut self, is_wanted: impl Fn(&Key) -> bool) -> Option<CachedGrammar> {
        let position = self.cache.iter().position(|cached| is_wanted(&cached.key));
        position.and_then(|index| self.cache.remove(index))
    }

    fn keep(&mut self, cached: CachedGrammar) {
        self.cache.truncate(MAX_CACHED - 1);
        self.cache.push_front(cached);
    }

    /// Puts the grammar that was compiled last into the cache.
    fn take_compiled(&mut self) {
        if let Ok(compiled) = self.results.try_recv() {
            self.compiling_since = None;
            self.keep(compiled);
        }
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

    fn compile(&self, schema: Value) -> Option<Matcher> {
        let grammar = TopLevelGrammar::from_json_schema(with_options(schema)?);
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

/// Schema as the library gets it: plain objects are closed, and the properties that the answer's schema lacks are left out.
struct GrammarForm<'s> {
    schema: &'s AnswerSchema,
    closed: HashSet<NodeId>,
}

impl<'s> GrammarForm<'s> {
    fn new(schema: &'s AnswerSchema) -> Self {
        let closed = closed_objects(schema.tree());
        Self { schema, closed }
    }

    /// Returns the compact text. `None`: it is longer than [`MAX_SCHEMA_BYTES`].
    fn text(&self) -> Option<Vec<u8>> {
        let mut text = BoundedText(Vec::new());
        serde_json::to_writer(&mut text, &self.schema.tree().edited(self)).ok()?;
        Some(text.0)
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self.schema.tree().edited(self)).unwrap_or_default()
    }
}

impl Edit for GrammarForm<'_> {
    fn closes(&self, schema: NodeRef<'_>) -> bool {
        self.closed.contains(&schema.id())
    }

    fn leaves_out(&self, schema: NodeRef<'_>, property: &str) -> bool {
        self.schema.leaves_out(schema, property)
    }
}

/// Writer that fails beyond [`MAX_SCHEMA_BYTES`].
struct BoundedText(Vec<u8>);

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_SCHEMA_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::provider::test_fixture::tree;

    /// Returns a vocabulary of single bytes.
    fn bytes() -> TokEnv {
        toktrie::ApproximateTokEnv::single_byte_env()
    }

    /// Returns the grammar of a schema, once it is compiled.
    fn compiled(grammars: &mut Grammars, schema: &AnswerSchema) -> Option<Matcher> {
        for _ in 0..10_000 {
            if let Poll::Ready(grammar) = grammars.get(schema) {
                return grammar;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("not compiled within ten seconds");
    }

    /// Returns the schema without the named properties of its root.
    fn schema(schema: &Value, left_out: &[&str]) -> AnswerSchema {
        let tree = tree(schema);
        let root = tree.root().id();
        let left_out = left_out.iter().map(|name| (root, (*name).into()));
        AnswerSchema::new(Arc::clone(&tree), left_out.collect())
    }

    #[test]
    fn the_library_gets_closed_objects_without_what_is_left_out() {
        let open = json!({"properties": {"a": {"items": {"properties": {"b": true}}}, "c": {"allOf": [{"properties": {}}]}, "d": true},
            "patternProperties": {"d": true}});
        let schema = schema(&open, &["d"]);
        let form = GrammarForm::new(&schema);
        let written = form.to_json();
        assert_eq!(
            written,
            json!({"properties": {"a": {"items": {"properties": {"b": true}, "additionalProperties": false}},
                "c": {"allOf": [{"properties": {}}]}}, "patternProperties": {"d": true}})
        );
        let text = form.text().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), written);
    }

    #[test]
    fn a_schema_that_is_too_large_has_no_text() {
        let of = |bytes: usize| schema(&json!({"description": "a".repeat(bytes)}), &[]);
        let frame = r#"{"description":""}"#.len();
        let largest = of(MAX_SCHEMA_BYTES - frame);
        assert_eq!(
            GrammarForm::new(&largest).text().map(|text| text.len()),
            Some(MAX_SCHEMA_BYTES)
        );
        let too_large = of(MAX_SCHEMA_BYTES - frame + 1);
        assert!(GrammarForm::new(&too_large).text().is_none());
    }

    #[test]
    fn a_schema_that_is_too_deep_is_not_written() {
        let of = |levels: usize| {
            let deep = (1..levels).fold(json!({}), |deep, _| json!({"items": deep}));
            schema(&deep, &[])
        };
        assert_eq!(of(MAX_SCHEMA_DEPTH).tree().json_depth(), MAX_SCHEMA_DEPTH);
        let mut grammars = Grammars::new(&bytes(), || ()).unwrap();
        assert!(compiled(&mut grammars, &of(MAX_SCHEMA_DEPTH / 2)).is_some());
        assert!(compiled(&mut grammars, &of(MAX_SCHEMA_DEPTH + 1)).is_none());
        assert!(grammars.cache[0].key.text.is_none());
    }

    #[test]
    fn an_equal_schema_is_compiled_once_and_found_by_identity() {
        let mut grammars = Grammars::new(&bytes(), || ()).unwrap();
        let object = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}});
        let (first, second) = (schema(&object, &[]), schema(&object, &[]));
        assert!(compiled(&mut grammars, &first).is_some());
        assert!(grammars.cache[0].key.identity.is_of(&first));
        assert!(!grammars.cache[0].key.identity.is_of(&second));
        assert!(compiled(&mut grammars, &second).is_some());
        assert_eq!(grammars.cache.len(), 1);
        assert!(grammars.cache[0].key.identity.is_of(&second.clone()));
        let narrowed = schema(&object, &["b"]);
        assert!(compiled(&mut grammars, &narrowed).is_some());
        assert!(compiled(&mut grammars, &first).is_some());
        assert_eq!(grammars.cache.len(), 2);
    }

    #[test]
    fn a_cached_grammar_is_found_while_another_schema_is_compiled() {
        let mut grammars = Grammars::new(&bytes(), || ()).unwrap();
        let known = schema(&json!({"type": "object"}), &[]);
        assert!(compiled(&mut grammars, &known).is_some());
        let [first, second] = ["integer", "string"].map(|kind| schema(&json!({"type": kind}), &[]));
        assert!(grammars.get(&first).is_pending());
        // The other one is found at once, whether this one is compiled by now or not.
        assert!(matches!(grammars.get(&known), Poll::Ready(Some(_))));
        assert!(compiled(&mut grammars, &second).is_some());
        assert!(compiled(&mut grammars, &first).is_some());
        assert_eq!(grammars.overdue_at(), None);
    }

    #[test]
    fn a_schema_that_takes_too_long_lets_the_others_go_on_without_a_grammar() {
        let mut grammars = Grammars::new(&bytes(), || ()).unwrap();
        grammars.compiling_since = Some(Instant::now());
        let schema = schema(&json!({"type": "object"}), &[]);
        assert!(grammars.get(&schema).is_pending());
        assert!(
            grammars
                .overdue_at()
                .is_some_and(|time| time > Instant::now())
        );
        grammars.compiling_since = Instant::now().checked_sub(MAX_COMPILE_TIME);
        assert!(matches!(grammars.get(&schema), Poll::Ready(None)));
    }
}
