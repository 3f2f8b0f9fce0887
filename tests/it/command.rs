//! `extractd batch`: the command line as a client of a running server, or by itself without one.

mod file_formats;
mod html_report;
mod resume;
mod server_commands;
mod single;
mod tables;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::support::client::{LIMIT, eventually, within};
use crate::support::fixture::{self, Nobody};
use crate::support::server::{Builder, Server, binary};
use crate::upstream::{Reply, Upstream};

/// A folder with a schema, and the command to be run in it.
struct Desk {
    folder: Builder,
    environment: Vec<(String, String)>,
}

impl Desk {
    /// Creates a folder whose commands call the server at this address.
    fn at(address: &str) -> Self {
        Self::with([("EXTRACTD_SERVER".to_owned(), format!("http://{address}"))])
    }

    fn asking(server: &Server) -> Self {
        Self::at(&server.address().to_string())
    }

    /// Creates a folder whose commands work without a server.
    fn alone(upstream: &Upstream) -> Self {
        let set = [
            ("OPENAI_BASE_URL", upstream.url().as_str()),
            ("OPENAI_API_KEY", "sk-test"),
            ("EXTRACTD_MODEL", "openai/test-model"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::with(set)
    }

    fn with(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let desk = Self {
            folder: Server::bare(),
            environment: environment.into_iter().collect(),
        };
        desk.put("person.json", fixture::schema().to_string());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.folder().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes `people.ndjson` with so many of `fixture::person`.
    fn put_people(&self, count: usize) {
        let lines: Vec<_> = (0..count)
            .map(|number| Value::from(fixture::person(number)).to_string())
            .collect();
        self.put("people.ndjson", lines.join("\n"));
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = binary();
        command
            .arg("batch")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.folder());
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Returns any command, with these arguments.
    fn command_of(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(arguments).current_dir(self.folder.folder());
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs any command to its end.
    async fn run_command(&self, arguments: &[&str]) -> Ran {
        let output = self.command_of(arguments).output();
        Ran::of(within(LIMIT, "the command ends", output).await.unwrap())
    }

    /// Runs `extractd batch` to its end.
    async fn run(&self, arguments: &str) -> Ran {
        Ran::of(
            within(LIMIT, "the command ends", self.command(arguments).output())
                .await
                .unwrap(),
        )
    }

    fn start(&self, arguments: &str) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Waits until the job store in the run's folder has so many results.
    async fn wait_for_stored_results(&self, folder: &str, count: usize) {
        let path = self.path(folder).join("store/extractd.db");
        eventually(LIMIT, "the results are stored", async || {
            let store = rusqlite::Connection::open(&path).ok()?;
            let stored: i64 = store
                .query_row("SELECT count(event) FROM items", [], |row| row.get(0))
                .ok()?;
            (stored == count as i64).then_some(())
        })
        .await;
    }

    /// Returns the output's results.
    fn lines(&self, name: &str) -> Vec<Value> {
        lines(&self.read(name))
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}")))
        .collect()
}

/// Returns the server's jobs.
async fn jobs(server: &Server) -> Vec<Value> {
    let jobs = server.get("/v1/jobs").await.ok();
    jobs["data"].as_array().unwrap().clone()
}

/// Waits until the server's jobs have so many results, cancelled items excluded.
async fn wait_for_results(server: &Server, count: u64) {
    eventually(LIMIT, "the jobs have the results", async || {
        let jobs = jobs(server).await;
        let results = jobs.iter().map(|job| {
            let count = |name: &str| job["counts"][name].as_u64().unwrap();
            count("succeeded") + count("failed") + count("invalid")
        });
        (results.sum::<u64>() == count).then_some(())
    })
    .await;
}

/// Fails the test unless they are those of `fixture::person`, in order.
#[track_caller]
fn check_people(results: &[Value], count: usize) {
    let found: Vec<_> = results
        .iter()
        .map(|result| (result["index"].as_u64().unwrap(), result["data"].clone()))
        .collect();
    let expected: Vec<_> = (0..count)
        .map(|number| (number as u64, fixture::found(number)))
        .collect();
    assert_eq!(found, expected);
}

/// Result of a command.
struct Ran {
    code: Option<i32>,
    out: String,
    said: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            out: text(&output.stdout),
            said: text(&output.stderr),
        }
    }

    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.said, self.out);
        self
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.said.contains(word), "{word:?} in:\n{}", self.said);
        }
        self
    }
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id().expect("it runs"));
    assert!(
        std::process::Command::new("/bin/sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success(),
        "{kill}"
    );
}

async fn ended(child: Child) -> Ran {
    Ran::of(
        within(LIMIT, "the command ends", child.wait_with_output())
            .await
            .unwrap(),
    )
}

#[tokio::test]
async fn without_a_server_one_runs_within_the_process() {
    let upstream = Upstream::playing();
    let desk = Desk::alone(&upstream);
    desk.put_people(20);
    let ran = desk
        .run("people.ndjson --schema person.json -o out.ndjson")
        .await
        .expect(0);
    check_people(&desk.lines("out.ndjson"), 20);
    assert!(
        ran.said.contains("20 succeeded") && ran.said.lines().count() == 1,
        "{}",
        ran.said
    );
    assert!(!desk.has("data"), "it keeps nothing of its own");
    let model = desk
        .run("people.ndjson --schema person.json --model openai/other -o other.ndjson")
        .await
        .expect(0);
    assert_eq!(
        desk.lines("other.ndjson")[0]["model"],
        "openai/other",
        "{}",
        model.said
    );
}

#[tokio::test]
async fn without_a_server_configuration_errors_are_reported() {
    let upstream = Upstream::playing();
    let mut desk = Desk::alone(&upstream);
    desk.put_people(1);
    desk.run("people.ndjson --schema person.json --model nobody/nothing")
        .await
        .expect(2)
        .says(&["--model", "nobody"]);
    desk.environment
        .retain(|(name, _)| name != "EXTRACTD_MODEL");
    desk.run("people.ndjson --schema person.json")
        .await
        .expect(2)
        .says(&["EXTRACTD_MODEL"]);
}

#[tokio::test]
async fn each_field_of_the_spec_has_a_flag() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(0) {
            Reply::Json(fixture::wrong())
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(2);
    desk.put("how.txt", "Mind the umlauts.");
    desk.put(
        "examples.json",
        json!([{"input": "Rex, 4", "output": {"name": "Rex", "age": 4, "occupation": "dog"}}])
            .to_string(),
    );
    desk.put(
        "rules.json",
        r#"[{"expression": "data.age < 200", "message": "nobody is that old"}]"#,
    );
    let flags = "people.ndjson -o out.ndjson --schema person.json --instructions @how.txt --examples examples.json --rules rules.json \
                 --mode tools --max-attempts 1 --temperature 0.25 --seed 11 --max-output-tokens 64 --timeout-ms 9000 --cache off \
                 --coerce false --on-failure best --on-error continue --concurrency 1 --model openai/test-model";
    desk.run(flags)
        .await
        .expect(1)
        .says(&["1 succeeded, 1 failed"]);
    assert_eq!(
        desk.lines("out.ndjson")[0]["status"],
        "invalid",
        "--on-failure best"
    );
    let log = upstream.log();
    assert_eq!(log.items(), [0, 1], "one after the other, one attempt each");
    let sent = log.calls[0].body();
    assert_eq!(
        (&sent["temperature"], &sent["seed"], &sent["model"]),
        (&json!(0.25), &json!(11), &json!("test-model"))
    );
    let prompt = log.calls[0].prompt();
    assert!(
        sent["tools"].is_array()
            && prompt.contains("Mind the umlauts.")
            && prompt.contains("Rex, 4"),
        "{sent}"
    );
}

#[tokio::test]
async fn a_rejected_field_is_reported_by_its_flag() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(2);
    for (flags, words) in [
        (
            "--schema person.json --max-attempts 99",
            vec!["--max-attempts: ", "1 to 10"],
        ),
        (
            "--schema nobody -o out.ndjson",
            vec!["--schema: ", "nobody"],
        ),
        (
            r#"--schema {"type":"nothing"}"#,
            vec!["--schema, at /type: "],
        ),
        (
            "--schema person.json --max-concurrency 3",
            vec!["--max-concurrency is the server's own"],
        ),
        ("", vec!["no schema", "--schema"]),
        (
            "--schema not-there.json",
            vec!["cannot read not-there.json"],
        ),
        ("--schema people.ndjson", vec!["people.ndjson is not JSON"]),
    ] {
        desk.run(&format!("people.ndjson {flags}"))
            .await
            .expect(2)
            .says(&words);
    }
    assert_eq!(upstream.calls(), 0);
    assert!(!desk.has("out.ndjson") && !desk.has("out.ndjson.partial"));
}

#[tokio::test]
async fn the_api_key_is_sent_and_never_shown() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "right-4711")
        .start()
        .await;
    let mut desk = Desk::asking(&server);
    desk.put_people(1);
    desk.run("people.ndjson --schema person.json")
        .await
        .expect(2)
        .says(&["Authorization"]);
    desk.environment
        .push(("EXTRACTD_API_KEY".to_owned(), "wrong-4711".to_owned()));
    let ran = desk
        .run("people.ndjson --schema person.json")
        .await
        .expect(2);
    assert!(!ran.said.contains("wrong-4711"), "{}", ran.said);
    desk.environment
        .push(("EXTRACTD_API_KEY".to_owned(), "right-4711".to_owned()));
    desk.run("people.ndjson --schema person.json")
        .await
        .expect(0);
}

#[tokio::test]
async fn an_unreachable_server_is_reported_at_once() {
    let nobody = Nobody::new();
    let url = nobody.url();
    let desk = Desk::at(url.trim_start_matches("http://").trim_end_matches("/v1"));
    desk.put_people(1);
    let begun = std::time::Instant::now();
    desk.run("people.ndjson --schema person.json -o out.ndjson")
        .await
        .expect(2)
        .says(&["cannot connect", "http://127.0.0.1"]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        !desk.has("out.ndjson.partial"),
        "nothing is there to go on from"
    );
    desk.run("people.ndjson --schema person.json --server nowhere")
        .await
        .expect(2)
        .says(&["nowhere is no address"]);
}

#[tokio::test]
async fn on_error_stop_ends_the_run_at_the_first_failure_and_it_resumes() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(2) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put_people(50);
    let command =
        "people.ndjson --schema person.json -o out.ndjson --concurrency 1 --on-error stop";
    desk.run(command)
        .await
        .expect(1)
        .says(&["a failed item ended the run after 3", "resumes"]);
    assert_eq!(upstream.log().items(), [0, 1, 2]);
    assert!(!desk.has("out.ndjson"), "it is not whole");
    desk.run(command)
        .await
        .expect(1)
        .says(&["49 succeeded, 1 failed"]);
    assert_eq!(upstream.calls(), 50);
}

#[tokio::test]
async fn a_run_without_inputs_writes_an_empty_output() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.put("none.ndjson", "\n\n");
    for (name, expected) in [
        ("out.ndjson", ""),
        ("out.json", "[]\n"),
        ("out.csv", "index,id,status,error,name,age,occupation\n"),
    ] {
        desk.run(&format!("none.ndjson --schema person.json -o {name}"))
            .await
            .expect(0);
        assert_eq!(desk.read(name), expected);
    }
}

/// Runs a command with a text for its standard input.
async fn piped(mut command: Command, text: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    ended(child).await
}

fn has_only(folder: &Path, ending: &str) -> bool {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.into_iter().all(|name| !name.ends_with(ending))
}
