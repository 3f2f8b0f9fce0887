//! Named callers: what each may use is its own. Quotas of a minute pace a caller's queue and refuse only when its own waiting room
//! is full; a budget that is used up fails what is left; and nobody else notices any of it.

mod budget;
mod concurrency;
mod keys;
mod quota_headers;
mod rates;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::concurrency::most_at_once;
use crate::support::client::{Answer, Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{self, batch, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Gate, Reply, Upstream};

/// Items from here on are of the other caller.
const OTHER: usize = 100_000;

/// Starts a server with these slots and callers.
async fn serving(upstream: &Upstream, slots: usize, config: &str) -> Server {
    Server::asking(upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", slots)
        .config(config)
        .start()
        .await
}

/// Starts a server with a caller `slow` of these quotas and a caller `other` without any.
async fn with_slow(upstream: &Upstream, slots: usize, quotas: &str) -> (Server, Client, Client) {
    let config = format!(
        "[callers.slow]\nkey = \"key-slow\"\n{quotas}\n[callers.other]\nkey = \"key-other\"\nrole = \"operator\"\n"
    );
    let server = serving(upstream, slots, &config).await;
    let (slow, other) = (server.with_key("key-slow"), server.with_key("key-other"));
    (server, slow, other)
}

/// Returns a batch of `count` people from the number `first` on.
fn batch_from(first: usize, count: usize) -> Value {
    json!({"inputs": (first..first + count).map(fixture::person).collect::<Vec<_>>(), "schema": fixture::schema()})
}

fn is_others(call: &Call) -> bool {
    call.item().expect("the call is for a numbered item") >= OTHER
}
