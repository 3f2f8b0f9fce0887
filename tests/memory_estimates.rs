//! Estimates by which memory is reserved, against what is allocated: bodies while they are parsed, compiled schemas, and pages of
//! jobs. One test, because the allocator counts for the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test panics when something is wrong, and prints its figures"
)]

use extractd::http::readers::{parse, parsed_size};
use extractd::jobs::Sqlite;
use extractd::jobs::store::{CreateOutcome, JobFilter, MAX_PAGE_BYTES, NewJob, Scan, Store};
use extractd::schema::Schema;
use extractd::types::{Batch, Single};
use peak_alloc::PeakAlloc;
use schema_dialect::dialects::{COMPATIBLE, GEMINI_SCHEMA, OPENAI_STRICT};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs `work` and returns the most bytes that were allocated at a time, and the bytes that its result holds.
fn allocated<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let kept = work();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    let held = ALLOCATOR.current_usage().saturating_sub(before);
    drop(kept);
    (peak, held)
}

/// Bodies of the densest values: one kind of value, again and again.
fn check_bodies() {
    const COUNT: usize = 300_000;
    for value in [
        "0",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "true",
        "{\"a\":0}",
        "[[0]]",
    ] {
        let values = vec![value; COUNT].join(",");
        let body = format!(
            r#"{{"input": "a", "schema": {{"type": "object"}}, "examples": [{{"input": "b", "output": [{values}]}}]}}"#
        );
        let (peak, _) = allocated(|| parse::<Single>(body.as_bytes()));
        let reserved = body.len() + parsed_size(body.as_bytes());
        println!("{value}: {peak} of {reserved} bytes");
        assert!(peak <= reserved, "{value}: {peak} of {reserved} bytes");
    }
    for text in ["\"\"", "\"a text of some words\""] {
        let inputs = vec![text; COUNT].join(",");
        let body = format!(r#"{{"inputs": [{inputs}]}}"#);
        let (peak, _) = allocated(|| parse::<Batch>(body.as_bytes()));
        let reserved = body.len() + parsed_size(body.as_bytes());
        println!("input {text}: {peak} of {reserved} bytes");
        assert!(peak <= reserved, "input {text}: {peak} of {reserved} bytes");
    }
}

fn object_of(fields: impl Iterator<Item = String>) -> String {
    let fields = fields.collect::<Vec<_>>().join(",");
    format!(r#"{{"type": "object", "properties": {{{fields}}}}}"#)
}

fn check_schemas() {
    let described = object_of((0..300).map(|n| {
        format!(r#""field_{n}": {{"type": "string", "maxLength": 20, "description": "Words about field {n}"}}"#)
    }));
    let bare = object_of((0..2000).map(|n| format!(r#""a{n}": {{}}"#)));
    let patterns = object_of(
        (0..200)
            .map(|n| format!(r#""f{n}": {{"type": "string", "pattern": "^[a-z]{{{n},}}\\d+$"}}"#)),
    );
    let large_patterns = object_of((0..8).map(|n| {
        format!(
            r#""f{n}": {{"type": "string", "pattern": "^(?:\\S+\\s+){{0,{}}}x$"}}"#,
            90 + n
        )
    }));
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let alternatives = format!(
        r#"{{"anyOf": [{{"type": "string"}},{}]}}"#,
        list("{}", 3000)
    );
    let alike = format!(r#"{{"allOf": [{}]}}"#, list("true", 3000));
    let choices: Vec<_> = (0..5000).map(|n| n.to_string()).collect();
    let choices = format!(r#"{{"enum": [{}]}}"#, choices.join(","));
    let names: Vec<_> = (0..3000).map(|n| format!("\"{n}\"")).collect();
    let required = format!(r#"{{"type": "object", "required": [{}]}}"#, names.join(","));
    for (name, text) in [
        ("alternatives", alternatives),
        ("alike", alike),
        ("choices", choices),
        ("required", required),
        ("described", described),
        ("bare", bare),
        ("patterns", patterns),
        ("large patterns", large_patterns),
    ] {
        let mut reserved = 0;
        let (peak, held) = allocated(|| {
            let schema = Schema::compile(&text).unwrap();
            reserved = schema.memory_bytes();
            schema
        });
        println!("{name}, {} bytes: {held} of {reserved} bytes", text.len());
        assert!(held <= reserved, "{name}: {held} of {reserved} bytes");
        let compiling = Schema::compiling_bytes(&text);
        println!("{name}, while compiling: {peak} of {compiling} bytes and the patterns'");
        assert!(
            peak <= compiling + reserved,
            "{name}: {peak} of {compiling} and {reserved} bytes"
        );
    }
}

/// Lowered forms that are kept with a schema.
fn check_forms() {
    let words: Vec<_> = (0..400).map(|n| format!("\"word {n}\"")).collect();
    let numbers: Vec<_> = (0..400).map(|n| n.to_string()).collect();
    let objects = vec![r#"{"a":[1],"b":{"c":"d"}}"#; 100];
    for values in [words.join(","), numbers.join(","), objects.join(",")] {
        let properties = (0..100).map(|n| {
            format!(r##""a property {n}": {{"$ref": "#/$defs/v", "description": "{n}"}}"##)
        });
        let object = object_of(properties);
        let object = object.trim_end_matches('}');
        let text = format!(r#"{object}}}}},"$defs":{{"v":{{"enum":[{values}]}}}}}}"#);
        for dialect in [&COMPATIBLE, &GEMINI_SCHEMA, &OPENAI_STRICT] {
            let schema = Schema::compile(&text).unwrap();
            let before = schema.memory_bytes();
            let (peak, held) = allocated(|| schema.lowered(dialect).is_some());
            let counted = schema.memory_bytes() - before;
            println!(
                "{}, {} bytes: {held} of {counted} bytes, {peak} at most",
                dialect.name,
                text.len()
            );
            // The list of the forms is that of the schema itself.
            assert!(
                held <= counted + 1024,
                "{}: {held} of {counted} bytes",
                dialect.name
            );
        }
    }
}

/// Schemas that are refused: what they take until then.
fn check_refused() {
    let long = "n".repeat(500_000);
    let references = vec![r##"{"$ref":"#/$defs/x"}"##; 15_000].join(",");
    let alike = format!(
        r#"{{"anyOf":[{references}],"$defs":{{"x":{{"type":"object","additionalProperties":false,"required":["{long}"]}}}}}}"#
    );
    let zeros = format!(r#"{{"enum":[{}]}}"#, vec!["0"; 49_000].join(","));
    let resources = (0..60).fold(zeros, |inner, _| {
        format!(r#"{{"$id":"a","items":{inner}}}"#)
    });
    for (name, text) in [("alike", alike), ("resources", resources)] {
        let (peak, _) = allocated(|| Schema::compile(&text).is_ok());
        let compiling = Schema::compiling_bytes(&text);
        println!("{name}, {} bytes: {peak} of {compiling} bytes", text.len());
        assert!(peak <= compiling, "{name}: {peak} of {compiling} bytes");
    }
}

/// A page of jobs with the densest metadata: names of two characters, and nothing else.
fn check_jobs() {
    const JOBS: u32 = 17;
    let characters = || (' '..='~').filter(|character| !matches!(character, '"' | '\\'));
    let entries = characters()
        .flat_map(|first| characters().map(move |second| format!(r#""{first}{second}":"""#)));
    let entries: Vec<_> = entries.take(8_000).collect();
    let metadata = format!("{{{}}}", entries.join(","));
    let folder = std::env::temp_dir().join(format!("extractd-memory-{}", std::process::id()));
    let store = Sqlite::open(&folder.join("extractd.db")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for number in 0..JOBS {
        let job = NewJob {
            id: format!("job_{number}"),
            caller: String::new(),
            spec: "{}".to_owned(),
            metadata: serde_json::from_str(&metadata).unwrap(),
            created_at: 0,
            idempotency: None,
        };
        let created = runtime.block_on(store.create_uploading(job)).unwrap();
        if let CreateOutcome::New(job) = created {
            let queued = store.finalize(job, 0, [0; 32]);
            runtime.block_on(queued).unwrap();
        }
    }
    let mut found = 0;
    let (peak, held) = allocated(|| {
        let page = store.find_jobs(String::new(), JobFilter::default(), u32::MAX, 1_000, 0);
        let page = runtime.block_on(page).unwrap();
        if let Scan::Page(jobs) = &page {
            found = jobs.len();
        }
        page
    });
    store.close();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, JOBS as usize);
    println!("{found} jobs: {held} bytes, {peak} at most, of {MAX_PAGE_BYTES} bytes");
    // The page ends with the job that reaches its size.
    let allowed = MAX_PAGE_BYTES + MAX_PAGE_BYTES / 4;
    assert!(peak <= allowed, "{peak} of {allowed} bytes");
}

#[test]
fn what_is_reserved_is_enough() {
    check_bodies();
    check_schemas();
    check_forms();
    check_refused();
    check_jobs();
}
