//! History checker: clients use the real binary while it is killed, frozen and without disk space. Every request and answer is
//! recorded; afterwards the server's state has to explain all of them.
//!
//! `HISTORY_SECONDS` lengthens it, `HISTORY_CLIENTS` widens it, and `HISTORY_SEED` repeats the choices of a run.

#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unused_imports,
    reason = "a test says what is wrong by panicking; the harness is that of tests/it, not all of which is used here"
)]

mod check;
mod checker_tests;
mod client;
mod faults;

mod record;
#[path = "../it/support"]
mod support {
    pub mod client;
    pub mod fixture;
    pub mod response;
    pub mod server;
    pub mod test_lock;
    pub mod wait;
}
mod truth;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use upstream_sim::scripted as upstream;

use client::Actor;
use record::History;
use support::server::Server;
use upstream::{Reply, Upstream};

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |value| value.parse().expect("a number"))
}

/// Starts a provider that is slow, and fails sometimes.
fn provider(seed: u64) -> Upstream {
    Upstream::light(move |call| {
        let mut random = Rng::with_seed(seed ^ call.index as u64);
        match random.u32(..40) {
            0 => Reply::error(500, "oops"),
            1 => Reply::Reset,
            _ => Reply::Played.after(Duration::from_millis(random.u64(2..60))),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_explained_after_kills_freezes_and_disk_faults() {
    let seed = setting("HISTORY_SEED", 1);
    let length = Duration::from_secs(setting("HISTORY_SECONDS", 10));
    eprintln!("HISTORY_SEED={seed}");
    let upstream = provider(seed);
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 8)
        .limited_to_kilobytes(1 << 20)
        .start()
        .await;
    let history = Arc::new(History::default());
    let (address, current) = watch::channel((*server).clone());
    let until = Instant::now() + length;
    let mut actors = JoinSet::new();
    for number in 0..setting("HISTORY_CLIENTS", 12) {
        let actor = Actor::new(number, seed, Arc::clone(&history), current.clone());
        actors.spawn(actor.act_until(until));
    }
    let server = faults::inject_until(until, server, &address, seed).await;
    while let Some(ended) = actors.join_next().await {
        ended.unwrap_or_else(|panic| panic!("HISTORY_SEED={seed}: {panic}"));
    }
    let truth = truth::settle(&server, &history, seed).await;
    // What is on disk survives one more crash as it is.
    let server = server.kill_and_restart().await;
    let again = truth::read(&server, &history).await;
    let mut violations = check::check(&history, &truth);
    violations.extend(check::check_unchanged(&truth, &again));
    eprintln!("{}", history.describe());
    assert!(history.is_telling(), "too little happened: {}", history.describe());
    assert!(
        violations.is_empty(),
        "HISTORY_SEED={seed}: {} violations\n{}",
        violations.len(),
        violations.join("\n")
    );
}
