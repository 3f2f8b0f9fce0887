//! Fallback: the conditions under which another model is called, its cost, and the model in the result (reliability.md, which
//! upstream outcomes are retried; breaker and fallback).

mod answers;
mod conditions;
mod usage_and_limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{LIMIT, within};
use crate::support::fixture::{
    self, Nobody, batch, found, model, person, provider, single, with, wrong,
};
use crate::support::server::Server;
use crate::upstream::{Call, Ending, Gate, Reply, Upstream};

/// `main` at `first`, and `spare` at `second`, who answers in its place. What both are asked is seen.
struct Pair {
    first: Upstream,
    second: Upstream,
    server: Server,
}

impl Pair {
    async fn new(first: Upstream) -> Self {
        Self::with(first, Upstream::playing()).await
    }

    async fn with(first: Upstream, second: Upstream) -> Self {
        let server = Server::configured(&pair(&first.url(), &second.url()))
            .start()
            .await;
        Self {
            first,
            second,
            server,
        }
    }

    fn calls(&self) -> (usize, usize) {
        (self.first.calls(), self.second.calls())
    }
}

fn pair(first: &str, second: &str) -> String {
    let models = model("main", "first", "fallback = [\"spare\"]") + &model("spare", "second", "");
    let first = provider("first", first, "api_keys = [\"sk-key-a\", \"sk-key-b\"]");
    format!(
        "model = \"main\"\n{first}{}{models}",
        provider("second", second, "api_key = \"sk-spare\"")
    )
}

/// Returns a request with an explicit mode, so that a rejection does not count as an unsupported mode.
fn ask() -> Value {
    with(single(person(1)), json!({"mode": "tools"}))
}

// What leads to the next model.

/// Checks that the second model answers after `calls` to the first, which always replies the same.
async fn answered_elsewhere(
    what: &str,
    calls: usize,
    reply: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) {
    let pair = Pair::new(Upstream::start(reply)).await;
    let reply = within(LIMIT, what, pair.server.extract(&ask())).await.ok();
    assert_eq!(
        (&reply["data"], &reply["model"]),
        (&found(1), &json!("second/spare-1")),
        "{what}"
    );
    assert_eq!(reply["attempts"], 1, "{what}: another model is no attempt");
    assert_eq!(pair.calls(), (calls, 1), "{what}");
}

#[tokio::test]
async fn fallbacks_are_tried_in_order_and_their_own_fallbacks_are_ignored() {
    let down = || Upstream::start(|_| Reply::error(401, "Incorrect API key provided"));
    let (first, second, third, fourth) = (down(), down(), Upstream::playing(), Upstream::playing());
    let upstreams = [
        ("first", &first),
        ("second", &second),
        ("third", &third),
        ("fourth", &fourth),
    ];
    let mut config = "model = \"main\"\n".to_owned();
    for (name, upstream) in upstreams {
        config += &provider(name, &upstream.url(), &format!("api_key = \"sk-{name}\""));
    }
    config += &model("main", "first", "fallback = [\"spare\", \"third/direct\"]");
    config += &model("spare", "second", "fallback = [\"last\"]");
    config += &model("last", "fourth", "");
    let server = Server::configured(&config).start().await;
    assert_eq!(server.extract(&ask()).await.ok()["model"], "third/direct");
    assert_eq!(
        upstreams.map(|(_, upstream)| upstream.calls()),
        [1, 1, 1, 0]
    );
    assert_eq!(third.log().calls[0].body()["model"], "direct");
    assert_eq!(
        third.log().calls[0].header("authorization"),
        Some("Bearer sk-third"),
        "with the keys of its own provider"
    );
}

#[tokio::test]
async fn when_every_target_fails_the_last_failure_is_returned() {
    let first = Upstream::start(|_| Reply::error(401, "Incorrect API key provided"));
    let second = Upstream::start(|_| Reply::error(500, "the disk is full"));
    let pair = Pair::with(first, second).await;
    let problem = pair
        .server
        .extract(&ask())
        .await
        .problem(502, "upstream_error");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{problem}"
    );
    assert_eq!(pair.calls(), (2, 3));
}

/// Returns the body without any condition for a fallback.
fn alone(body: Value) -> Value {
    with(body, json!({"fallback_on": []}))
}

// What does not.

/// Returns the first model does always the same, and nobody else is asked.
async fn asked_nowhere_else(
    what: &str,
    body: &Value,
    code: (u16, &str),
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) {
    let pair = Pair::new(Upstream::start(move |_| reply())).await;
    pair.server.extract(body).await.problem(code.0, code.1);
    assert_eq!(pair.second.calls(), 0, "{what}");
}
