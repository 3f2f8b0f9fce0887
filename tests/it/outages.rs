//! Outages, which fail for everyone once: a refused key, an unknown model, an exhausted quota (reliability.md, outages).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{Client, LIMIT, eventually};
use crate::support::fixture::{
    batch, check_each_once, model, one_provider, person, provider, single, with,
};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

/// More calls than a proof and its companions in flight take.
const A_HANDFUL: usize = 12;

fn refused(_: &Call) -> Reply {
    Reply::error(401, "Incorrect API key provided")
}

fn unknown(_: &Call) -> Reply {
    Reply::error(404, "The model `main-1` does not exist")
}

fn exhausted(_: &Call) -> Reply {
    let error = json!({"message": "You exceeded your current quota", "code": "insufficient_quota"});
    Reply::Status(429, vec![], json!({"error": error}).to_string())
}

/// Returns the outages in `/v1/limits`.
async fn outages(client: &Client) -> Vec<Value> {
    let limits = client.get("/v1/limits").await.ok();
    limits["outages"].as_array().unwrap().clone()
}

async fn job_of(client: &Client, body: &Value) -> String {
    let answer = client.post("/v1/jobs", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    format!("/v1/jobs/{}", answer.json()["id"].as_str().unwrap())
}

async fn ended(client: &Client, job: &str) -> Value {
    eventually(Duration::from_secs(120), "the job ends", async || {
        let shown = client.get(job).await.ok();
        (!shown["finished_at"].is_null()).then_some(shown)
    })
    .await
}

/// Answers with `reply` until the switch is set, then as the model does.
fn until(
    switch: &Arc<AtomicBool>,
    reply: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let switch = Arc::clone(switch);
    move |call| {
        if switch.load(Ordering::SeqCst) {
            Reply::Played
        } else {
            reply(call)
        }
    }
}

#[tokio::test]
async fn a_batch_fails_at_once_after_a_handful_of_calls_with_the_providers_words() {
    type Case = (fn(&Call) -> Reply, &'static str, &'static str, &'static str);
    let cases: [Case; 3] = [
        (
            refused,
            "upstream_unauthorized",
            "key_refused",
            "Incorrect API key provided",
        ),
        (unknown, "upstream_error", "unknown_model", "does not exist"),
        (
            exhausted,
            "upstream_rate_limited",
            "quota_exhausted",
            "exceeded your current quota",
        ),
    ];
    for (reply, code, reason, words) in cases {
        let upstream = Upstream::start(reply);
        let config = one_provider(&upstream.url(), "api_key = \"sk-wrong\"");
        let mut server = Server::configured(&config).start().await;
        let reply = server.batch(&batch(2_000)).await.ok();
        assert_eq!(reply["summary"]["failed"], 2_000, "{reason}");
        for result in reply["results"].as_array().unwrap() {
            assert_eq!(result["error"]["code"], code, "{result}");
            let detail = result["error"]["detail"].as_str().unwrap();
            assert!(detail.contains(words), "{detail}");
        }
        let calls = upstream.calls();
        assert!(calls <= A_HANDFUL, "{reason}: {calls} calls");
        let outage = outages(&server).await.remove(0);
        let address = upstream.url().replace("/v1", "");
        assert_eq!(outage["reason"], reason, "{outage}");
        assert_eq!(outage["provider"], "first", "{outage}");
        assert_eq!(outage["address"], address, "{outage}");
        let metrics = server.get("/metrics").await.text().to_owned();
        let line = format!("extractd_outages{{provider=\"first\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
        server.terminate();
        server.exit(LIMIT).await;
        let log = server.output();
        let told = log
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("are no longer made"))
            .collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{log}");
        for part in ["first", &address, reason] {
            assert!(told[0].contains(part), "{part} in {}", told[0]);
        }
        assert!(log.contains("an upstream call failed"), "{log}");
    }
}

#[tokio::test]
async fn a_single_fails_without_a_call_and_one_is_a_probe_from_time_to_time() {
    let is_right = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::start(until(&is_right, refused));
    let server = Server::configured(&one_provider(&upstream.url(), "api_key = \"sk-wrong\""))
        .start()
        .await;
    let begun = Instant::now();
    let mut requests = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        let ask = single(person(requests));
        server
            .extract(&ask)
            .await
            .problem(502, "upstream_unauthorized");
        requests += 1;
    }
    // The first, and probes after one and three seconds.
    assert!(
        requests > 20 && upstream.calls() <= 3,
        "{}",
        upstream.calls()
    );
    is_right.store(true, Ordering::SeqCst);
    eventually(Duration::from_secs(10), "a probe succeeds", async || {
        (server.extract(&single(person(1))).await.status == 200).then_some(())
    })
    .await;
    for number in 2..10 {
        server.extract(&single(person(number))).await.ok();
    }
    assert!(outages(&server).await.is_empty());
}

#[tokio::test]
async fn a_job_waits_for_the_right_key_and_finishes_by_itself() {
    const ITEMS: usize = 1_500;
    for (reply, reason) in [
        (refused as fn(&Call) -> Reply, "key_refused"),
        (unknown, "unknown_model"),
        (
            |_: &Call| Reply::error(403, "your team has no access"),
            "access_denied",
        ),
    ] {
        let is_right = Arc::new(AtomicBool::new(false));
        let upstream = Upstream::light(until(&is_right, reply));
        let server = Server::configured(&one_provider(&upstream.url(), "api_key = \"sk-wrong\""))
            .start()
            .await;
        let job = job_of(&server, &batch(ITEMS)).await;
        let shown = eventually(LIMIT, "the job is blocked", async || {
            let shown = server.get(&job).await.ok();
            shown["blocked"].is_object().then_some(shown)
        })
        .await;
        assert_eq!(shown["blocked"]["reason"], reason, "{shown}");
        assert_eq!(shown["status"], "running", "{shown}");
        assert!(shown["blocked"]["since"].is_string(), "{shown}");
        let wasted = upstream.calls();
        assert!(wasted <= A_HANDFUL, "{reason}: {wasted} calls");
        is_right.store(true, Ordering::SeqCst);
        let shown = ended(&server, &job).await;
        assert_eq!(shown["status"], "completed", "{shown}");
        assert_eq!(shown["counts"]["succeeded"], ITEMS, "{shown}");
        assert!(shown.get("blocked").is_none(), "{shown}");
        let calls = upstream.calls();
        assert!(calls <= ITEMS + A_HANDFUL, "{reason}: {calls} calls");
    }
}

#[tokio::test]
async fn a_key_that_is_refused_and_replaced_in_the_middle_of_a_job_fails_no_item() {
    const ITEMS: usize = 3_000;
    // Right, then wrong from the 500th call on, then right again.
    let is_right = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_right);
    let upstream = Upstream::light(move |call| {
        if call.index == 500 {
            switch.store(false, Ordering::SeqCst);
        }
        if switch.load(Ordering::SeqCst) {
            Reply::Played.after(Duration::from_millis(2))
        } else {
            Reply::error(401, "Incorrect API key provided")
        }
    });
    let config = one_provider(&upstream.url(), "api_key = \"sk-right\"");
    let server = Server::configured(&format!("{config}[limits]\nmax_concurrency = 16\n"))
        .start()
        .await;
    let job = job_of(&server, &batch(ITEMS)).await;
    eventually(LIMIT, "the job is blocked", async || {
        server.get(&job).await.ok()["blocked"]
            .is_object()
            .then_some(())
    })
    .await;
    // Whoever waits for an answer is told at once meanwhile.
    let ask = single(person(4_000));
    server
        .extract(&ask)
        .await
        .problem(502, "upstream_unauthorized");
    is_right.store(true, Ordering::SeqCst);
    let shown = ended(&server, &job).await;
    assert_eq!(shown["counts"]["succeeded"], ITEMS, "{shown}");
    let calls = upstream.calls();
    // Those in flight when the key was refused, and the probes.
    assert!(calls <= ITEMS + 16 + A_HANDFUL, "{calls} calls");
    let page = server.get(&format!("{job}/results?limit=1000")).await.ok();
    check_each_once(page["data"].as_array().unwrap(), 1_000);
}

#[tokio::test]
async fn a_replaced_key_file_ends_an_outage_without_a_restart() {
    const ITEMS: usize = 10_000;
    let upstream = Upstream::light(|call| match call.header("authorization") {
        Some("Bearer sk-right") => Reply::Played,
        _ => Reply::error(401, "Incorrect API key provided"),
    });
    let builder = Server::configured(&one_provider(&upstream.url(), "api_key_file = \"key\""));
    let key = builder.folder().join("key");
    std::fs::write(&key, "sk-wrong\n").unwrap();
    let server = builder.start().await;
    let job = job_of(&server, &batch(ITEMS)).await;
    eventually(LIMIT, "the job is blocked", async || {
        server.get(&job).await.ok()["blocked"]
            .is_object()
            .then_some(())
    })
    .await;
    // A broken file changes nothing, and is logged once.
    std::fs::write(&key, "sk-one\nsk-two\n").unwrap();
    eventually(LIMIT, "the file is refused", async || {
        server
            .output()
            .contains("the previous keys stay in use")
            .then_some(())
    })
    .await;
    std::fs::write(&key, "sk-right\n").unwrap();
    let shown = ended(&server, &job).await;
    assert_eq!(shown["status"], "completed", "{shown}");
    assert_eq!(shown["counts"]["succeeded"], ITEMS, "{shown}");
    let calls = upstream.calls();
    assert!(calls <= ITEMS + A_HANDFUL, "{calls} calls");
    let log = server.output();
    assert!(log.contains("the new keys are in use"), "{log}");
    for key in ["sk-right", "sk-wrong", "sk-one"] {
        assert!(!log.contains(key), "{key} in {log}");
    }
}

#[tokio::test]
async fn a_single_does_not_wait_for_an_equal_item_of_a_blocked_job() {
    let upstream = Upstream::start(refused);
    let server = Server::configured(&one_provider(&upstream.url(), "api_key = \"sk-wrong\""))
        .start()
        .await;
    let job = job_of(&server, &batch(1)).await;
    eventually(LIMIT, "the job is blocked", async || {
        server.get(&job).await.ok()["blocked"]
            .is_object()
            .then_some(())
    })
    .await;
    let begun = Instant::now();
    server
        .extract(&single(person(0)))
        .await
        .problem(502, "upstream_unauthorized");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    let cancel = format!("{job}/cancel");
    server.request(Method::POST, &cancel).answer().await;
    assert_eq!(ended(&server, &job).await["status"], "cancelled");
}

#[tokio::test]
async fn one_text_that_a_firewall_denies_holds_up_nothing() {
    let upstream = Upstream::start(|call| match call.item() {
        Some(7) => Reply::error(403, "blocked by the firewall"),
        Some(9) => Reply::error(404, "page not found"),
        _ => Reply::Played,
    });
    let server = Server::configured(&one_provider(&upstream.url(), "api_key = \"sk-right\""))
        .start()
        .await;
    let reply = server.batch(&batch(300)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 298, "{}", reply["summary"]);
    let job = job_of(&server, &with(batch(50), json!({"cache": "off"}))).await;
    let shown = ended(&server, &job).await;
    assert_eq!(shown["counts"]["succeeded"], 48, "{shown}");
}

#[tokio::test]
async fn a_refused_key_of_the_first_model_costs_a_batch_a_handful_of_calls() {
    let (first, second) = (Upstream::start(refused), Upstream::playing());
    let config = "model = \"main\"\n".to_owned()
        + &provider("first", &first.url(), "api_key = \"sk-wrong\"")
        + &provider("second", &second.url(), "")
        + &model("main", "first", "fallback = [\"second/spare\"]");
    let server = Server::configured(&config).start().await;
    let reply = server.batch(&batch(1_000)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 1_000);
    let job = job_of(&server, &with(batch(200), json!({"cache": "off"}))).await;
    let shown = ended(&server, &job).await;
    assert_eq!(shown["counts"]["succeeded"], 200, "{shown}");
    assert!(first.calls() <= A_HANDFUL, "{} calls", first.calls());
}
