//! A 429 pauses the model that was asked. The key with all models is paused if the provider says so, or a second model is refused
//! and none answers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::with_attacker;
use crate::support::client::LIMIT;
use crate::support::fixture::{person, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

/// Time in which the server has read an answer that the provider has sent.
const HEARD: Duration = Duration::from_millis(300);

/// Time in which a request that nothing holds is answered.
const AT_ONCE: Duration = Duration::from_secs(2);

fn asking(model: &str, number: usize) -> Value {
    with(
        single(person(number)),
        json!({"model": format!("openai/{model}")}),
    )
}

/// Refuses models whose name begins with `bad`, for this number of seconds.
fn refusing(seconds: u64, message: &'static str) -> impl Fn(&Call) -> Reply + Send + Sync {
    move |call| {
        let body = call.body();
        if body["model"].as_str().unwrap().starts_with("bad") {
            Reply::error(429, message).with_header("retry-after", seconds)
        } else {
            Reply::Played
        }
    }
}

/// Checks that a call of a model that was not refused waits for the end of the key's pause.
async fn check_another_model_is_held(server: &Server) {
    sleep(HEARD).await;
    let began = Instant::now();
    server.extract(&asking("good", 2)).await.ok();
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn refused_models_of_a_caller_hold_up_no_other_model() {
    let upstream = Upstream::start(refusing(86_400, "slow down"));
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    victim.extract(&single(person(0))).await.ok();
    for number in 1..=4 {
        let refused = attacker
            .extract(&asking(&format!("bad-{number}"), number))
            .await;
        refused.problem(503, "upstream_rate_limited");
        let began = Instant::now();
        victim.extract(&single(person(number))).await.ok();
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
    // The refused ones are not called again meanwhile.
    let calls = upstream.calls();
    attacker
        .extract(&asking("bad-1", 9))
        .await
        .problem(503, "upstream_rate_limited");
    assert_eq!(upstream.calls(), calls);
}

#[tokio::test]
async fn a_second_refused_model_pauses_the_key_while_none_answers() {
    let upstream = Upstream::start(refusing(3, "slow down"));
    let server = Server::asking(&upstream).start().await;
    for model in ["bad-1", "bad-2"] {
        let client = (*server).clone();
        tokio::spawn(async move { client.extract(&asking(model, 1)).await });
    }
    upstream
        .wait_for("both are refused", LIMIT, |log| log.answered >= 2)
        .await;
    check_another_model_is_held(&server).await;
}

#[tokio::test]
async fn a_limit_that_the_provider_calls_the_keys_pauses_all_models() {
    let message = "Rate limit exceeded for api_key: 88dc28. Limit type: requests";
    let upstream = Upstream::start(refusing(3, message));
    let server = Server::asking(&upstream).start().await;
    let client = (*server).clone();
    tokio::spawn(async move { client.extract(&asking("bad", 1)).await });
    upstream
        .wait_for("it is refused", LIMIT, |log| log.answered >= 1)
        .await;
    check_another_model_is_held(&server).await;
}
