//! The callers' file is read anew while the server runs: who is in it may call within seconds, nothing in flight is dropped, and
//! a file that is wrong changes nothing.

mod budgets;
mod file;
mod quotas;
mod requests_in_flight;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, LIMIT, Response, eventually};
use crate::support::fixture::{self, batch, person, single, with};
use crate::support::server::{Builder, Server};
use crate::upstream::{Gate, Reply, Upstream};

/// So soon a change is in force.
const SOON: Duration = Duration::from_secs(10);

/// A server whose callers are in a file of their own.
struct Stage {
    upstream: Upstream,
    server: Server,
    file: PathBuf,
}

const A: &str = "[callers.a]\nkey = \"key-a\"\n";

const B: &str = "[callers.b]\nkey = \"key-b\"\nrole = \"operator\"\n";

impl Stage {
    async fn set(upstream: Upstream, callers: &str) -> Self {
        Self::set_with(upstream, callers, "").await
    }

    async fn set_with(upstream: Upstream, callers: &str, config: &str) -> Self {
        let builder = Server::asking(&upstream);
        std::fs::write(builder.folder().join("callers.toml"), callers).unwrap();
        Self::start(upstream, builder, config).await
    }

    async fn start(upstream: Upstream, builder: Builder, config: &str) -> Self {
        let file = builder.folder().join("callers.toml");
        let server = builder
            .config(&format!("callers_file = \"callers.toml\"\n{config}"))
            .start()
            .await;
        Self {
            upstream,
            server,
            file,
        }
    }

    /// Replaces the whole file, as an editor or `mv` does.
    fn replace(&self, callers: &str) {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, callers).unwrap();
        std::fs::rename(&beside, &self.file).unwrap();
    }

    async fn status(&self, key: &str) -> u16 {
        self.server
            .with_key(key)
            .get("/v1/models")
            .await
            .status
            .as_u16()
    }

    async fn until(&self, key: &str, status: u16) {
        let what = format!("{key} is answered {status}");
        eventually(SOON, &what, async || {
            (self.status(key).await == status).then_some(())
        })
        .await;
    }

    async fn until_logged(&self, words: &str) {
        let what = format!("{words:?} in the log");
        eventually(SOON, &what, async || {
            self.server.output().contains(words).then_some(())
        })
        .await;
    }

    fn client(&self, key: &str) -> Client {
        self.server.with_key(key)
    }
}

/// Returns a batch at work with the key: two calls in flight, and more that wait.
async fn at_work(stage: &Stage, key: &str) -> Response {
    let body = with(batch(40), json!({"concurrency": 2}));
    let reply = stage
        .client(key)
        .open("/v1/extract/batch", "text/event-stream", &body)
        .await
        .expect(200);
    stage
        .upstream
        .wait_for("it is at work", LIMIT, |log| log.in_flight == 2)
        .await;
    reply
}

async fn check_whole(reply: Response, count: usize) {
    let events = reply.events().await;
    let done = events.last().unwrap();
    assert_eq!(
        (done.name.as_str(), &done.data["status"]),
        ("done", &json!("completed")),
        "{done:?}"
    );
    assert_eq!(done.data["succeeded"], count, "{done:?}");
    fixture::check_each_once(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
        count,
    );
}

async fn gated(callers: &str) -> (Stage, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    (
        Stage::set_with(upstream, callers, "[limits]\nmax_concurrency = 3\n").await,
        gate,
    )
}

async fn until_limit(stage: &Stage, kind: &str, limit: Value) {
    let what = format!("{kind} is {limit}");
    eventually(SOON, &what, async || {
        (paced(stage, kind).await == limit).then_some(())
    })
    .await;
}

async fn paced(stage: &Stage, kind: &str) -> Value {
    // Another caller looks: it takes nothing.
    let row = stage.client("key-b").limit_of(kind, "caller:a").await;
    row.map_or(Value::Null, |row| row["limit"].clone())
}
