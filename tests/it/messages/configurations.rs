//! Wrong configurations: a file, the environment, flags.

use super::{Said, check, check_words};
use crate::support::client::{LIMIT, within};
use crate::support::server::{Server, binary};

/// Runs `extractd config` on a file, and returns what it says on standard error.
async fn said(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> String {
    let folder = Server::bare();
    std::fs::write(folder.folder().join("a.toml"), text).unwrap();
    let mut command = binary();
    command
        .current_dir(folder.folder())
        .envs(environment.iter().copied())
        .args(["--config", "a.toml", "config"])
        .args(flags);
    let output = within(LIMIT, "the command ends", command.output()).await;
    String::from_utf8(output.unwrap().stderr)
        .unwrap()
        .trim()
        .to_owned()
}

#[tokio::test]
async fn wrong_files() {
    let cases: [(&str, &[&str]); 36] = [
        (
            "listen = 3",
            &[
                "a.toml:1:1",
                "`listen` must be an IP address and a port",
                "`3`",
            ],
        ),
        ("listen = \"127.0.0.1\"", &["`listen`", "127.0.0.1:8080"]),
        (
            "listen = 127.0.0.1",
            &["not valid TOML", "in double quotes"],
        ),
        (
            "listen = localhost:1",
            &["not valid TOML", "in double quotes"],
        ),
        ("listen = \"a", &["a.toml:1", "not valid TOML"]),
        ("[limits", &["a.toml:1", "not valid TOML"]),
        ("model = 3", &["`model` must be a string, not `3`"]),
        ("model = [\"a\"]", &["`model` must be a string"]),
        ("data_dir = 3", &["`data_dir` must be a path, not `3`"]),
        ("schemas_dir = true", &["`schemas_dir` must be a path"]),
        ("limits = 3", &["`limits` must be a table: [limits]"]),
        (
            "[limit]",
            &["unknown key `limit`", "did you mean `limits`?"],
        ),
        (
            "[limits]\nmax_concurency = 3",
            &["a.toml:2:1", "did you mean `max_concurrency`?"],
        ),
        (
            "[limits]\nmax_concurrency = \"many\"",
            &["must be a whole number from 1 to 100000, not `\"many\"`"],
        ),
        (
            "[limits]\nmax_concurrency = 1.5",
            &["must be a whole number", "`1.5`"],
        ),
        (
            "[limits]\nmax_concurrency = true",
            &["must be a whole number", "`true`"],
        ),
        (
            "[limits]\nmax_concurrency = [3]",
            &["must be a whole number"],
        ),
        (
            "[limits]\nmax_concurrency = 99999999999999999999",
            &["a number is too large"],
        ),
        (
            "[jobs]\nallow_private_webhooks = \"yes\"",
            &["must be true or false, not `\"yes\"`"],
        ),
        (
            "[jobs]\nretention_ms = \"30d\"",
            &["must be a whole number", "`\"30d\"`"],
        ),
        (
            "[log]\nformat = \"xml\"",
            &["must be one of: text, json; not `\"xml\"`"],
        ),
        (
            "[server]\nhosts = \"a\"",
            &["must be an array of strings, not `\"a\"`"],
        ),
        ("[server]\nhosts = [3]", &["must be an array of strings"]),
        (
            "[providers.openai]\napi_key = 3",
            &["`providers.openai.api_key` must be a string"],
        ),
        (
            "[providers.openai]\nbase_url = \"localhost\"",
            &["must be an http:// or https:// URL", "such as"],
        ),
        ("[providers.openai]\nheaders = \"a\"", &["must be a table"]),
        (
            "[providers.mine]\nkind = \"openapi\"\nbase_url = \"http://a\"",
            &["must be one of: openai,"],
        ),
        (
            "[providers.mine]\nbase_url = \"http://a\"",
            &["has no `kind`"],
        ),
        (
            "[models.a]\nprovider = \"nobody\"",
            &["unknown provider `nobody`"],
        ),
        (
            "[models.a]\nprovider = 3",
            &["must be the name of a provider"],
        ),
        ("[models.a]\nmode = \"x\"", &["must be one of: auto,"]),
        (
            "[models.a]\nfallback = \"b\"",
            &["must be an array of strings"],
        ),
        (
            "[models.a]\ninput_usd_per_million_tokens = \"1\"",
            &["must be a number of US dollars"],
        ),
        ("[callers.ann]", &["has no key"]),
        ("[callers.ann]\nkey = 3", &["must be a string"]),
        (
            "[callers.ann]\nkey = \"abc\"\nrequests_per_minute = \"x\"",
            &["a.toml:3:1", "whole number"],
        ),
    ];
    let (mut all, mut words) = (Vec::new(), Vec::new());
    for (text, expected) in cases {
        let message = said(text, &[], &[]).await;
        assert!(
            message.starts_with("extractd: a.toml:"),
            "{text}: {message}"
        );
        words.push((text.to_owned(), message.clone(), expected));
        all.push(Said {
            topic: "Configuration files",
            wrong: text.to_owned(),
            message,
        });
    }
    check(&all, 36);
    check_words(&words);
}

#[tokio::test]
async fn wrong_variables_and_flags() {
    let mut all = Vec::new();
    for (name, value) in [
        ("EXTRACTD_LISTEN", "x"),
        ("EXTRACTD_MAX_CONCURRENCY", "many"),
        ("EXTRACTD_MODL", "a"),
        ("EXTRACTD_MODEL", "opnai/x"),
        ("EXTRACTD_CORS_ORIGINS", "a"),
        ("EXTRACTD_ALLOW_ANONYMOUS", "maybe"),
        ("OPENAI_BASE_URL", "a"),
    ] {
        let message = said("", &[(name, value)], &[]).await;
        assert!(message.contains(name), "{name}={value}: {message}");
        all.push(Said {
            topic: "Environment and flags",
            wrong: format!("{name}={value}"),
            message,
        });
    }
    for flags in [
        ["--listen", "x"],
        ["--max-concurrency", "many"],
        ["--model", "nobody/x"],
        ["--requests-per-minute", "-"],
        ["--log-format", "xml"],
        ["--config", "none.toml"],
        ["--config", "."],
    ] {
        let folder = Server::bare();
        let mut command = binary();
        command
            .current_dir(folder.folder())
            .args(flags)
            .arg("config");
        let output = within(LIMIT, "the command ends", command.output())
            .await
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap().trim().to_owned();
        assert!(message.contains(flags[0]), "{flags:?}: {message}");
        all.push(Said {
            topic: "Environment and flags",
            wrong: flags.join(" "),
            message,
        });
    }
    check(&all, 14);
}
