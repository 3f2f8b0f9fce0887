//! Schemas that generators emit, from `tests/fixtures/generators`: each compiles unchanged, judges its instances as the model
//! means them, and takes them to every provider's form and back.

use std::collections::BTreeSet;
use std::path::Path;

use schema_dialect::dialects::{
    ANTHROPIC_STRICT, ANTHROPIC_TOOLS, AZURE_STRICT, COMPATIBLE, GEMINI_FUNCTION,
    GEMINI_JSON_SCHEMA, GEMINI_SCHEMA, LLAMA_CPP, OPENAI_LOOSE, OPENAI_STRICT,
};

use super::*;

const DIALECTS: [&Dialect; 10] = [
    &OPENAI_STRICT,
    &OPENAI_LOOSE,
    &AZURE_STRICT,
    &ANTHROPIC_STRICT,
    &ANTHROPIC_TOOLS,
    &GEMINI_JSON_SCHEMA,
    &GEMINI_FUNCTION,
    &GEMINI_SCHEMA,
    &LLAMA_CPP,
    &COMPATIBLE,
];

/// Generators, as the files name them in `generator`.
const GENERATORS: [&str; 12] = [
    "pydantic 2.12",
    "pydantic 2.14",
    "zod 3",
    "zod 4",
    "typebox 1",
    "@sinclair/typebox",
    "typescript-json-schema",
    "ts-json-schema-generator",
    "msgspec",
    "victools",
    "invopop/jsonschema",
    "NJsonSchema",
];

/// Fixtures without a form in a strict dialect, for which the looser dialect is used. The list may only shrink.
const WITHOUT_STRICT_FORM: [&str; 0] = [];

/// A schema as a generator emitted it, with instances.
struct Fixture {
    /// Folder and file, for messages.
    name: String,
    generator: String,
    /// The schema's text, its numbers as the generator wrote them.
    schema: String,
    valid: Vec<Value>,
    invalid: Vec<Value>,
}

#[derive(serde::Deserialize)]
struct File {
    generator: String,
    schema: Box<RawValue>,
    valid: Vec<Value>,
    invalid: Vec<Value>,
}

fn entries_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/generators");
    let folders = entries_of(&root).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| entries_of(&folder));
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            let file: File =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Fixture {
                name,
                generator: file.generator,
                schema: file.schema.get().to_owned(),
                valid: file.valid,
                invalid: file.invalid,
            }
        })
        .collect()
}

/// Returns a value without its null members: where every property is required, an absent one and a null look the same, if the
/// caller's schema allows both.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name.clone(), without_nulls(member)))
            .collect(),
        other => other.clone(),
    }
}

/// Panics with every fault at once, so that one run tells all that is wrong.
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_generator_has_fixtures_with_instances() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 100, "only {} fixtures", fixtures.len());
    for generator in GENERATORS {
        let count = fixtures
            .iter()
            .filter(|fixture| fixture.generator.starts_with(generator))
            .count();
        assert!(count >= 3, "{generator}: {count} fixtures");
    }
    for fixture in &fixtures {
        let (valid, invalid) = (fixture.valid.len(), fixture.invalid.len());
        assert!(
            valid >= 2 && invalid >= 2,
            "{}: {valid} valid instances, {invalid} invalid",
            fixture.name
        );
    }
}

#[test]
fn what_generators_emit_compiles_and_judges_its_instances() {
    let (mut faults, mut accepted) = (Vec::new(), Vec::new());
    for fixture in fixtures() {
        let name = &fixture.name;
        let schema = match Schema::compile(&fixture.schema) {
            Ok(schema) => schema,
            Err(error) => {
                faults.push(format!("{name}: refused: {error}"));
                continue;
            }
        };
        for instance in &fixture.valid {
            if let Some(fault) = schema.faults(instance).first() {
                faults.push(format!("{name}: {fault:?}: {instance}"));
            }
            if !schema.is_valid(instance) {
                faults.push(format!("{name}: not valid: {instance}"));
            }
        }
        for instance in &fixture.invalid {
            let is_valid = schema.is_valid(instance);
            if is_valid {
                accepted.push(name.clone());
            }
            if is_valid != schema.faults(instance).is_empty() {
                faults.push(format!("{name}: faults disagree: {instance}"));
            }
        }
    }
    assert_eq!(accepted, [""; 0], "have an invalid instance");
    assert_none(&faults);
}

#[test]
fn every_provider_gets_a_form_and_instances_come_back_from_it() {
    let mut faults = Vec::new();
    let mut without_form = BTreeSet::new();
    for fixture in fixtures() {
        let name = &fixture.name;
        let Ok(schema) = Schema::compile(&fixture.schema) else {
            faults.push(format!("{name}: refused"));
            continue;
        };
        for dialect in DIALECTS {
            // As `extraction` does it: the dialect of the mode, or the looser one.
            let lowered = schema.lowered(dialect).or_else(|| {
                without_form.insert(format!("{}: {name}", dialect.name));
                schema.lowered(dialect.otherwise?)
            });
            let Some(lowered) = lowered else {
                faults.push(format!("{name}: no form for {}", dialect.name));
                continue;
            };
            for instance in &fixture.valid {
                let there = lowered.asked.lowered(instance);
                let back = schema.raised(&lowered, there.clone());
                let is_same = without_nulls(&back) == without_nulls(instance);
                if !is_same || !schema.is_valid(&back) {
                    faults.push(format!(
                        "{name}: {}: {instance} is {there}, and comes back as {back}",
                        dialect.name
                    ));
                }
            }
        }
    }
    assert_none(&faults);
    let expected: BTreeSet<String> = WITHOUT_STRICT_FORM.map(str::to_owned).into();
    assert_eq!(
        without_form, expected,
        "the looser dialect is used for these"
    );
}
