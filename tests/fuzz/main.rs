//! Property tests of the fuzz targets: every file of the corpus, mutations of it, and random bytes.
//!
//! The harness belongs to the package in `fuzz`, which is a workspace of its own for nightly Rust; it is included by path.

#[path = "../../fuzz/src/lib.rs"]
mod harness;
mod lowered;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;

use harness::TARGETS;

/// Returns the corpus files of a target, each with its bytes.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpus_passes() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= 5, "{name} has {} files", files.len());
        for (path, bytes) in files {
            println!("{}", path.display());
            target(&bytes);
        }
    }
}

/// Tokens of random documents.
const TOKENS: [&str; 124] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "'",
    "`",
    "\\",
    "\n",
    " ",
    "\r\n",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "😀",
    "\"a\"",
    "\"a\":",
    "\"b\":",
    "0",
    "1",
    "-1",
    "-0",
    "1.5",
    "1e9",
    "1e400",
    "9223372036854775808",
    "1000000000000000000000000000000",
    "true",
    "false",
    "null",
    "None",
    "NaN",
    "\\u0000",
    "\\ud83d",
    "\\ud83d\\ude00",
    "//",
    "/*",
    "*/",
    "#",
    "...",
    "```",
    "```json\n",
    "<think>",
    "</think>",
    "\"type\":",
    "\"object\"",
    "\"array\"",
    "\"string\"",
    "\"integer\"",
    "[\"string\",\"null\"]",
    "\"properties\":",
    "\"required\":[\"a\"]",
    "\"items\":",
    "\"$ref\":\"#\"",
    "\"$ref\":\"#/$defs/a\"",
    "\"$defs\":{\"a\":",
    "\"anyOf\":[",
    "\"oneOf\":[",
    "\"allOf\":[",
    "\"not\":",
    "\"pattern\":\"(a|b)+$\"",
    "\"patternProperties\":{\"^a\":",
    "\"propertyNames\":",
    "\"additionalProperties\":",
    "\"enum\":[",
    "\"const\":",
    "\"format\":\"date\"",
    "\"multipleOf\":",
    "\"minimum\":",
    "\"maxLength\":",
    "\"$id\":\"x\"",
    "\"$anchor\":\"a\"",
    "\"$schema\":\"http://json-schema.org/draft-07/schema#\"",
    "\"title\":\"name\"",
    "\"examples\":[",
    "\"input\":",
    "\"inputs\":[",
    "\"schema\":",
    "\"schema\":{}",
    "\"instructions\":\"a\"",
    "\"mode\":\"text\"",
    "\"seed\":",
    "\"max_attempts\":",
    "\"metadata\":{",
    "\"output\":",
    "\"on_error\":\"stop\"",
    "\"concurrency\":",
    "\"stream\":true",
    "seed=1&",
    "schema=%7B%7D&",
    "%ff",
    "&",
    "=",
    "data",
    ".a",
    "input",
    "(",
    ")",
    ".",
    "?",
    "==",
    "!=",
    ">=",
    "<",
    "&&",
    "||",
    "!",
    "+",
    "-",
    "*",
    "%",
    " in ",
    "x",
    ".all(x,",
    ".exists(x,",
    ".map(x,",
    "size(",
    "has(data.",
    ".sum()",
    "timestamp(",
    ".matches('a+')",
];

fn random_tokens() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(&TOKENS[..]), 0..40)
        .prop_map(|tokens| tokens.concat().into_bytes())
}

/// Generates a corpus file with parts replaced, repeated or removed.
fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let files: Vec<_> = corpus(target)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .filter(|bytes| bytes.len() < 10_000)
        .collect();
    let piece = prop_oneof![
        select(&TOKENS[..]).prop_map(|token| token.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4)
    ];
    let edit = (any::<Index>(), 0..12_usize, piece, 0..4_usize);
    (select(files), prop::collection::vec(edit, 0..6)).prop_map(|(mut bytes, edits)| {
        for (position, length, piece, times) in edits {
            let start = position.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, piece.repeat(times));
        }
        bytes
    })
}

fn config() -> ProptestConfig {
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/regressions.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..ProptestConfig::with_cases(4000)
    }
}

/// Generates the bytes for a target.
fn bytes(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 3 => random_tokens(), 4 => mutated(target)]
}

/// Defines a test for each target, of the same name.
macro_rules! drive {
    ($($target:ident),*) => {
        proptest! {
            #![proptest_config(config())]
            $(#[test]
            fn $target(bytes in bytes(stringify!($target))) {
                harness::$target(&bytes);
            })*
        }
    };
}

drive!(answer, body, lines, lowered, made_up, rules, schema, stream);
