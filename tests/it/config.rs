//! The configuration: what is in force, where it comes from, and what stops the start (contract, section 7).

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::client::{LIMIT, within};
use crate::support::server::{Builder, Server, binary};
use crate::upstream::Upstream;

/// Runs the binary to its end in a folder of its own.
async fn run(folder: &Builder, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = binary();
    command
        .args(arguments)
        .current_dir(folder.folder())
        .env("EXTRACTD_LISTEN", "127.0.0.1:0");
    command
        .env("EXTRACTD_DATA_DIR", folder.folder().join("data"))
        .envs(environment.iter().copied());
    within(LIMIT, "the binary ends", command.output())
        .await
        .unwrap()
}

fn output_text(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("extractd-test.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn config_prints_the_values_in_force_with_secrets_masked() {
    let folder = Server::bare();
    let environment = [
        ("OPENAI_API_KEY", "sk-very-secret-4711"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
        ("EXTRACTD_MODEL", "openai/test-model"),
        ("EXTRACTD_API_KEYS", "caller-secret-4711"),
        ("EXTRACTD_MAX_CONCURRENCY", "17"),
    ];
    let output = run(&folder, &["config"], &environment).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", output_text(&output));
    for value in ["openai/test-model", "http://127.0.0.1:9/v1", "17", "100000"] {
        assert!(printed.contains(value), "{value} is in force:\n{printed}");
    }
    for secret in ["sk-very-secret-4711", "caller-secret-4711"] {
        assert!(
            !output_text(&output).contains(secret),
            "{secret} is masked:\n{printed}"
        );
    }
}

#[tokio::test]
async fn config_says_where_each_value_came_from() {
    let folder = Server::bare();
    let environment = [
        ("OPENAI_API_KEY", "sk-test"),
        ("EXTRACTD_MODEL", "openai/test-model"),
        ("EXTRACTD_MAX_CONCURRENCY", "4711"),
    ];
    let output = run(&folder, &["config"], &environment).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = |value: &str| {
        printed
            .lines()
            .find(|line| line.contains(value))
            .unwrap_or_else(|| panic!("{value} in\n{printed}"))
            .to_owned()
    };
    assert!(
        line("= 4711").contains("EXTRACTD_MAX_CONCURRENCY"),
        "{}",
        line("= 4711")
    );
    assert!(
        line("openai/test-model").contains("EXTRACTD_MODEL"),
        "{}",
        line("openai/test-model")
    );
    assert!(line("100000").contains("default"), "{}", line("100000"));
}

#[tokio::test]
async fn a_wrong_key_in_the_file_names_file_line_and_what_is_allowed() {
    let folder = Server::bare();
    let path = file(folder.folder(), "# a comment\n\nnonsense_key = 1\n");
    let path = path.to_str().unwrap();
    for arguments in [
        ["--config", path, "serve"],
        ["serve", "--config", path],
        ["config", "--config", path],
    ] {
        let output = run(
            &folder,
            &arguments,
            &[
                ("OPENAI_API_KEY", "sk-test"),
                ("EXTRACTD_MODEL", "openai/m"),
            ],
        )
        .await;
        let said = output_text(&output);
        assert!(!output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains("extractd-test.toml"), "the file: {said}");
        assert!(
            said.contains("line 3") || said.contains("toml:3"),
            "the line: {said}"
        );
        assert!(said.contains("nonsense_key"), "the key: {said}");
        assert!(said.contains("listen"), "what is allowed: {said}");
    }
}

#[tokio::test]
async fn a_wrong_key_in_the_file_of_callers_names_file_line_and_what_is_allowed() {
    let folder = Server::bare();
    let callers = folder.folder().join("callers.toml");
    let path = file(folder.folder(), "callers_file = \"callers.toml\"\n");
    for command in ["serve", "config"] {
        std::fs::write(
            &callers,
            "[callers.web]\nkey = \"caller-secret-4711\"\nmax_queu = 1\n",
        )
        .unwrap();
        let output = run(&folder, &["--config", path.to_str().unwrap(), command], &[]).await;
        let said = output_text(&output);
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains("callers.toml:3:1") && said.contains("max_queue"),
            "{said}"
        );
        assert!(!said.contains("caller-secret-4711"), "{said}");
    }
    std::fs::write(
        &callers,
        "[callers.web]\nkey = \"caller-secret-4711\"\nmax_queue = 4711\n",
    )
    .unwrap();
    let output = run(
        &folder,
        &["--config", path.to_str().unwrap(), "config"],
        &[],
    )
    .await;
    let said = output_text(&output);
    assert!(
        output.status.success() && said.contains("max_queue = 4711 # file callers.toml:3"),
        "{said}"
    );
    assert!(!said.contains("caller-secret"), "{said}");
}

#[tokio::test]
async fn an_invalid_or_missing_file_stops_the_start() {
    let folder = Server::bare();
    let path = file(folder.folder(), "listen = \n");
    let output = run(
        &folder,
        &["serve"],
        &[("EXTRACTD_CONFIG", path.to_str().unwrap())],
    )
    .await;
    assert!(!output.status.success());
    assert!(
        output_text(&output).contains("extractd-test.toml"),
        "{}",
        output_text(&output)
    );
    let output = run(
        &folder,
        &["serve"],
        &[("EXTRACTD_CONFIG", "not-there.toml")],
    )
    .await;
    assert!(!output.status.success());
    assert!(
        output_text(&output).contains("not-there.toml"),
        "{}",
        output_text(&output)
    );
}

#[tokio::test]
async fn a_wrong_value_in_the_environment_names_the_variable() {
    let folder = Server::bare();
    for (name, value) in [
        ("EXTRACTD_LISTEN", "nowhere"),
        ("EXTRACTD_MAX_CONCURRENCY", "0"),
        ("EXTRACTD_MAX_CONCURRENCY", "many"),
        ("EXTRACTD_REQUESTS_PER_MINUTE", "-1"),
        ("EXTRACTD_TOKENS_PER_MINUTE", "0"),
        ("EXTRACTD_CALLERS_FILE", "not-there.toml"),
        ("EXTRACTD_MAX_QUEUE", "1.5"),
        ("EXTRACTD_SHUTDOWN_GRACE_MS", "soon"),
        ("EXTRACTD_LOG_FORMAT", "xml"),
        ("EXTRACTD_MODEL", "no-slash"),
        ("EXTRACTD_MODEL", "nobody/nothing"),
        ("OPENAI_BASE_URL", "not a url"),
        ("EXTRACTD_MAX_CONCURENCY", "3"),
    ] {
        let environment = [
            ("OPENAI_API_KEY", "sk-test"),
            ("EXTRACTD_MODEL", "openai/test-model"),
            (name, value),
        ];
        let output = run(&folder, &["serve"], &environment).await;
        assert!(!output.status.success(), "{name}={value}");
        assert!(
            output_text(&output).contains(name),
            "{name}={value}: {}",
            output_text(&output)
        );
    }
}

#[tokio::test]
async fn a_provider_without_a_default_model_is_refused_naming_it() {
    let folder = Server::bare();
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL"] {
        let output = run(&folder, &["serve"], &[(name, "http://127.0.0.1:9/v1")]).await;
        assert!(!output.status.success(), "{name}");
        assert!(
            output_text(&output).contains("EXTRACTD_MODEL")
                && output_text(&output).contains("openai"),
            "{}",
            output_text(&output)
        );
    }
}

#[tokio::test]
async fn an_unknown_command_or_flag_stops_the_start() {
    let folder = Server::bare();
    for argument in ["explode", "--explode"] {
        let output = run(&folder, &[argument], &[]).await;
        assert!(!output.status.success());
        assert!(
            output_text(&output).contains("explode"),
            "{}",
            output_text(&output)
        );
    }
}

#[tokio::test]
async fn a_cache_that_would_leave_requests_without_memory_stops_the_start() {
    let folder = Server::bare();
    let path = file(
        folder.folder(),
        "model = \"openai/m\"\n[limits]\nmax_memory_bytes = 100000000\n[cache]\nmax_bytes = 30000000\n[providers.openai]\napi_key = \"k\"\n",
    );
    let output = run(
        &folder,
        &["--config", path.to_str().unwrap()],
        &[("EXTRACTD_ALLOW_ANONYMOUS", "true")],
    )
    .await;
    assert!(!output.status.success());
    let text = output_text(&output);
    for part in [
        "cache.max_bytes",
        "30000000",
        "25000000",
        "limits.max_memory_bytes",
        "100000000",
        "lower",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

/// Large blocks are returned at once only if these threads start after the first of them, so the server starts them.
#[tokio::test]
async fn the_server_starts_the_threads_that_return_memory() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).start().await;
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    let names: Vec<_> = names.collect();
    assert!(
        names.iter().any(|name| name.starts_with("jemalloc_bg")),
        "{names:?}"
    );
}

/// The allocator's options are compiled in (`.cargo/config.toml`), so that a build which misses that file is noticed here.
#[tokio::test]
async fn freed_memory_goes_back_to_the_system_quickly() {
    let folder = Server::bare();
    let environment = [("MALLOC_CONF", "confirm_conf:true")];
    let output = run(&folder, &["--version"], &environment).await;
    let text = output_text(&output);
    for option in [
        "background_thread:false",
        if cfg!(target_arch = "aarch64") {
            "oversize_threshold:262144"
        } else {
            "oversize_threshold:65536"
        },
        "dirty_decay_ms:10",
        "muzzy_decay_ms:0",
    ] {
        assert!(text.contains(option), "{option}:\n{text}");
    }
}
