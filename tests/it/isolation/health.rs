//! A caller's own limits say nothing about the provider: others are served as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::with_attacker;
use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{model, person, provider, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

/// Time that the provider takes for each call.
const LATENCY: Duration = Duration::from_millis(700);

#[tokio::test]
async fn impatient_callers_do_not_open_the_breaker() {
    let upstream = Upstream::start(|_| Reply::Played.after(LATENCY));
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    let mut impatient = JoinSet::new();
    for number in 0..30 {
        let attacker = attacker.clone();
        impatient.spawn(async move {
            let body = with(single(person(number)), json!({"timeout_ms": 550}));
            attacker.extract(&body).await.status
        });
        if number % 6 == 5 {
            while impatient.join_next().await.is_some() {}
        }
    }
    let breaker = victim.get("/v1/limits").await.ok()["breakers"][0].clone();
    assert_eq!(breaker["state"], "closed", "{breaker}");
    victim.extract(&single(person(100))).await.ok();
}

#[tokio::test]
async fn the_time_kept_for_a_fallback_is_no_evidence() {
    let slow = Upstream::start(|_| Reply::Played.after(LATENCY));
    let spare = Upstream::playing();
    let models = model("main", "first", "fallback = [\"spare\"]") + &model("spare", "second", "");
    let providers = provider("first", &slow.url(), "") + &provider("second", &spare.url(), "");
    let server = Server::configured(&format!("model = \"main\"\n{providers}{models}"))
        .start()
        .await;
    for number in 0..5 {
        let body = with(single(person(number)), json!({"timeout_ms": 1_200}));
        let reply = server.extract(&body).await.ok();
        assert_eq!(reply["model"], "second/spare-1");
    }
    let reply = server.extract(&single(person(10))).await.ok();
    assert_eq!(reply["model"], "first/main-1", "{reply}");
}

#[tokio::test]
async fn impatient_callers_close_a_breaker_whose_provider_is_well_again() {
    let is_well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_well);
    let upstream = Upstream::start(move |_| {
        if seen.load(Ordering::SeqCst) {
            Reply::Played.after(LATENCY)
        } else {
            Reply::error(500, "out of order")
        }
    });
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    let state = async || victim.get("/v1/limits").await.ok()["breakers"][0]["state"].clone();
    let open = async |number: usize| {
        attacker.extract(&single(person(number))).await;
        (state().await == "open").then_some(())
    };
    let mut number = 0;
    while open(number).await.is_none() {
        number += 1;
        assert!(number < 20, "the breaker opens");
    }
    is_well.store(true, Ordering::SeqCst);
    // None of these waits for its answer.
    eventually(LIMIT, "the breaker is closed", async || {
        number += 1;
        let body = with(single(person(number)), json!({"timeout_ms": 300}));
        attacker.extract(&body).await;
        (state().await == "closed").then_some(())
    })
    .await;
}
