//! Messages for people: what is said about wrong requests, configurations, commands and files. `make messages` prints them all.

mod commands;
mod configurations;
mod names;
mod requests;

use std::fmt::Write as _;

/// One mistake, and what is said about it.
struct Said {
    /// Kind of mistake, the heading in the catalogue.
    topic: &'static str,
    /// Request, file or command that is wrong.
    wrong: String,
    message: String,
}

/// Words that only a Rust programmer knows.
const RUST_WORDS: [&str; 19] = [
    "f64", "f32", "u64", "u32", "u16", "u8", "i64", "i32", "usize", "isize", "struct", "enum",
    "variant", "serde", "Option", "None", "Some", "EOF", "ident",
];
const RUST_PHRASES: [&str; 12] = [
    "invalid type",
    "invalid value: ",
    "invalid length",
    "missing field",
    "unknown variant",
    "duplicate field",
    "expected a sequence",
    "expected a map",
    "found map",
    "os error",
    "digit found in string",
    "std::",
];

/// Returns the words of a message that speak Rust. Text in backticks and quotes is the user's own, or JSON's.
fn rust_words(message: &str) -> Vec<String> {
    let own: String = message.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let own: String = own.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    // The pointer of a field, such as `/enum: `.
    let own = own
        .split_once(": ")
        .filter(|(head, _)| head.starts_with('/'))
        .map_or(own.as_str(), |(_, rest)| rest);
    let words = own.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words = words.filter(|word| RUST_WORDS.contains(word));
    let phrases = RUST_PHRASES
        .into_iter()
        .filter(|phrase| own.contains(phrase));
    words.chain(phrases).map(str::to_owned).collect()
}

/// Fails the test if a message speaks Rust, says nothing, or is as long as a page.
#[track_caller]
fn check(all: &[Said], at_least: usize) {
    assert!(all.len() >= at_least, "{} mistakes", all.len());
    for Said { wrong, message, .. } in all {
        println!("{wrong}\n    {message}");
        assert_eq!(
            rust_words(message),
            Vec::<String>::new(),
            "{wrong}: {message}"
        );
        let length = message.chars().count();
        assert!((10..2000).contains(&length), "{wrong}: {message}");
    }
    add_to_catalogue(all);
}

/// Adds the messages to the file that EXTRACTD_MESSAGES names.
fn add_to_catalogue(all: &[Said]) {
    let Some(folder) = std::env::var_os("EXTRACTD_MESSAGES") else {
        return;
    };
    let mut text = String::new();
    let mut topic = "";
    for said in all {
        if said.topic != topic {
            topic = said.topic;
            writeln!(text, "\n## {topic}\n").unwrap();
        }
        let wrong = said.wrong.replace('\n', "⏎");
        writeln!(
            text,
            "- `{wrong}`\n  → {}",
            said.message.replace('\n', "\n    ")
        )
        .unwrap();
    }
    let name = all
        .first()
        .map_or("none", |said| said.topic)
        .replace(' ', "-");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        std::path::Path::new(&folder).join(format!("{name}.md")),
        text,
    )
    .unwrap();
}

/// Fails the test unless each message contains its words.
#[track_caller]
fn check_words(said: &[(String, String, &[&str])]) {
    for (wrong, message, words) in said {
        for word in *words {
            assert!(message.contains(word), "{wrong}: {word:?} in: {message}");
        }
    }
}

#[test]
fn rust_is_recognized() {
    for message in [
        "/temperature: invalid type: string \"a\", expected f64",
        "expected struct Example",
        "EOF while parsing a value",
        "No such file or directory (os error 2)",
        "must not be None",
    ] {
        assert_ne!(rust_words(message), Vec::<String>::new(), "{message}");
    }
    for message in [
        "/enum: expected an array, found `{}`",
        "expected a number, found the string \"f64\"",
        "the structure of the body",
        "JSON has `null`; at `None}`",
    ] {
        assert_eq!(rust_words(message), Vec::<String>::new(), "{message}");
    }
}
