//! Bad input, kind by kind (reliability, "bad input"): each gets a clear problem or is handled right, costs bounded memory and
//! time, and the server serves the next request with every limit back where it was.

mod answers;
mod bodies;
mod lines;
mod numbers;
mod schemas;
mod slow;
mod texts;
mod upstream;
mod wire;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{Sending, within};
use crate::support::fixture::{self, person, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

const EXTRACT: &str = "/v1/extract";
const BATCH: &str = "/v1/extract/batch";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// No attack takes longer than this, on a machine that does much else in a build without optimisation. What is told apart here
/// takes minutes, or never ends.
const SOON: Duration = Duration::from_secs(30);

/// The item that the upstream always answers, whatever else it does.
const NEXT: usize = 4711;

/// A server under attack.
struct Siege {
    upstream: Upstream,
    server: Server,
}

impl Siege {
    /// Starts a server whose provider answers correctly.
    async fn begin() -> Self {
        Self::answering(|_| Reply::Played).await
    }

    /// Starts a server whose provider follows `script`.
    async fn answering(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Upstream::start(move |call| {
            if call.item() == Some(NEXT) {
                Reply::Played
            } else {
                script(call)
            }
        });
        let server = Server::with(&upstream).await;
        let siege = Self { upstream, server };
        // Whatever is made once, by the first request, is there.
        siege.serves("before the attack").await;
        siege
    }

    /// Runs an attack, which may cost so many MiB at its height, and looks at what it left behind.
    async fn attack<T>(&self, what: &str, mib: u64, attack: impl Future<Output = T>) -> T {
        self.server.forget_peak();
        let (before, begun) = (self.server.resident_bytes(), Instant::now());
        let result = within(SOON, what, attack).await;
        let grown = self.server.peak_bytes().saturating_sub(before);
        println!(
            "{what}: {} ms, {} of {mib} MiB",
            begun.elapsed().as_millis(),
            grown >> 20
        );
        assert!(
            grown <= mib << 20,
            "{what}: grew by {} KiB, {mib} MiB are allowed",
            grown / 1024
        );
        self.serves(what).await;
        result
    }

    /// Sends an attack and checks that it is answered with this problem, in few words.
    async fn refused(
        &self,
        what: &str,
        mib: u64,
        request: Sending,
        status: u16,
        code: &str,
    ) -> Value {
        let answer = self.attack(what, mib, request.answer()).await;
        let problem = answer.problem(status, code);
        println!("  {problem}");
        assert!(
            answer.body.len() < 16 * 1024,
            "{what}: the problem has {} bytes",
            answer.body.len()
        );
        problem
    }

    /// Checks that the next request is served, and that no limit holds anything.
    async fn serves(&self, what: &str) {
        self.server.wait_until_idle(SOON).await;
        // Another model: the one that was attacked may be left alone for a while by now.
        let body = with(single(person(NEXT)), json!({"model": "openai/another"}));
        let answer = self.server.extract(&body).await;
        assert_eq!(answer.status, 200, "after {what}: {}", answer.text());
        assert_eq!(answer.json()["data"], fixture::found(NEXT), "after {what}");
        self.server.wait_until_idle(SOON).await;
    }

    /// Returns a POST with this body.
    fn post(&self, path: &str, content_type: &str, body: impl Into<bytes::Bytes>) -> Sending {
        self.server
            .request(Method::POST, path)
            .header("content-type", content_type)
            .bytes(body)
    }

    /// Returns a single with this body.
    fn single(&self, body: impl Into<bytes::Bytes>) -> Sending {
        self.post(EXTRACT, JSON, body)
    }

    /// Returns a single with this text for its schema.
    fn with_schema(&self, schema: &str) -> Sending {
        self.single(format!("{{\"input\": \"Ada\", \"schema\": {schema}}}"))
    }

    /// Returns a schema to be registered.
    fn put(&self, name: &str, schema: impl Into<bytes::Bytes>) -> Sending {
        self.server
            .request(Method::PUT, &format!("/v1/schemas/{name}"))
            .header("content-type", JSON)
            .bytes(schema)
    }

    /// Returns the response to these bytes: to the end of the connection, or until nothing came for a second.
    async fn raw(&self, what: &str, mib: u64, bytes: &[u8]) -> String {
        self.attack(what, mib, self.server.raw(bytes, Duration::from_secs(1)))
            .await
    }

    /// Calls other than those that `serves` makes.
    fn calls(&self) -> usize {
        self.upstream.seen(|log| {
            log.calls
                .iter()
                .filter(|call| call.item() != Some(NEXT))
                .count()
        })
    }
}

/// So deep that nothing can recurse into it.
const DEEP: usize = 100_000;

/// Arrays in arrays.
fn deep_array() -> String {
    "[".repeat(DEEP) + &"]".repeat(DEEP)
}

/// Objects in objects.
fn deep_object(key: &str) -> String {
    format!("{{\"{key}\":").repeat(DEEP) + "1" + &"}".repeat(DEEP)
}

/// Returns an object of a million members.
fn million_keys(value: &str) -> String {
    let members: Vec<_> = (0..1_000_000)
        .map(|n| format!("\"k{n}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}
