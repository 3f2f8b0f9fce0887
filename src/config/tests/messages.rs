//! Each message, whole: they are what a person has when the server does not start.

mod cases;

use std::error::Error as _;

use cases::{FILES, VARIABLES};

use super::Start;

#[test]
fn errors_of_the_file_name_position_and_allowed_values() {
    for (text, expected) in FILES {
        assert_eq!(Start::file(text).error(), *expected, "{text}");
    }
}

#[test]
fn errors_of_the_environment_name_variable_and_allowed_values() {
    for (pairs, expected) in VARIABLES {
        // The list of all variables is long, and stands in
        // `each_variable_of_the_contract_is_known`.
        let error = Start::env(pairs).error();
        let error = match error.split_once(" known: EXTRACTD_CONFIG, ") {
            Some((start, _)) => format!("{start} known: …"),
            None => error,
        };
        assert_eq!(error, *expected, "{pairs:?}");
    }
}

#[test]
fn errors_of_a_flag_name_the_flag() {
    let start = Start::default().with_args(|args| args.max_concurrency = Some("0".to_owned()));
    assert_eq!(
        start.error(),
        "--max-concurrency: `limits.max_concurrency` must be a whole number from 1 to 100000, not `0`"
    );
    let start = Start::default().with_args(|args| args.requests_per_minute = Some("9".to_owned()));
    assert_eq!(
        start.error(),
        "--requests-per-minute: limits the default model's provider, but no provider's model is the default: \
         set `model` to a provider's model, or remove this limit (the built-in model has none)"
    );
    let start = Start::default().with_args(|args| args.config = Some("nope.toml".to_owned()));
    assert_eq!(start.error(), "--config: cannot read the file nope.toml");
}

#[test]
fn an_unreadable_file_is_an_error_with_its_source() {
    let error = Start::env(&[("EXTRACTD_CONFIG", "nope.toml")])
        .load()
        .expect_err("refused");
    assert_eq!(
        error.source().expect("a source").to_string(),
        "entity not found"
    );
}

#[test]
fn no_message_shows_a_secret() {
    for value in [
        "sk-hush hush",
        "\"sk-hush",
        "\"sk-hush\"\"",
        "[\"sk-hush\"]",
        "{ k = \"sk-hush\" }",
        "hush-1",
        "123456789012345678901",
    ] {
        for key in [
            "providers.x.api_key",
            "providers.x.api_key_env",
            "providers.x.headers.k",
            "providers.x.base_url",
            "providers.x.proxy",
            "providers.x.api_keys",
            "providers.x.api_keys_env",
            "server.api_keys",
            "callers.x.key",
            "callers.x.key_env",
            "callers.x.key_sha256",
        ] {
            for line in [
                format!("{key} = {value}"),
                format!("{key} = \"{value}\""),
                format!("{key} = [{value}]"),
            ] {
                let Err(error) = Start::file(&line).load() else {
                    continue;
                };
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.contains("hush") && !shown.contains("12345678"),
                    "{line}\n{shown}"
                );
            }
        }
    }
}
