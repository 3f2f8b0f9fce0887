//! Roles and lists of models: only an operator's key sees other callers, and a caller uses the models that it may.

use serde_json::{Value, json};

use crate::support::client::{Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{model, person, provider, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

/// Two callers with a quota and a budget each, and an operator.
const CALLERS: &str = "
[models.priced]
provider = \"openai\"
model = \"test-model\"
input_usd_per_million_tokens = 1
output_usd_per_million_tokens = 1
[callers.alice]
key = \"key-alice\"
max_concurrency = 7
budget_usd_per_day = 5
[callers.bob]
key = \"key-bob\"
max_concurrency = 9
budget_usd_per_day = 6
[callers.ops]
key = \"key-ops\"
role = \"operator\"
";

/// Returns the scopes of `/v1/limits` that belong to a caller, and the callers of its budgets.
async fn seen_callers(client: &Client) -> (Vec<String>, Vec<String>) {
    let limits = client.get("/v1/limits").await.ok();
    let texts = |list: &str, field: &str| {
        let rows = limits[list].as_array().unwrap().iter();
        rows.filter_map(|row| row[field].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let mut scopes = texts("limits", "scope");
    scopes.retain(|scope| scope.starts_with("caller:"));
    scopes.dedup();
    (scopes, texts("budgets", "caller"))
}

#[tokio::test]
async fn only_an_operator_sees_other_callers() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).config(CALLERS).start().await;
    let [alice, bob, ops] = ["key-alice", "key-bob", "key-ops"].map(|key| server.with_key(key));
    let body = with(single(person(1)), json!({"model": "priced"}));
    alice.extract(&body).await.ok();
    bob.extract(&body).await.ok();
    for (client, name) in [(&alice, "alice"), (&bob, "bob")] {
        let (scopes, budgets) = seen_callers(client).await;
        assert!(!scopes.is_empty());
        assert!(
            scopes
                .iter()
                .all(|scope| *scope == format!("caller:{name}")),
            "{scopes:?}"
        );
        assert_eq!(budgets, [name]);
        // Totals have no name.
        assert!(client.limit_of("concurrency", "all").await.is_some());
    }
    let (scopes, budgets) = seen_callers(&ops).await;
    for name in ["alice", "bob"] {
        assert!(scopes.contains(&format!("caller:{name}")), "{scopes:?}");
    }
    assert_eq!(budgets, ["alice", "bob"]);
}

#[tokio::test]
async fn the_metrics_are_the_operators() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).config(CALLERS).start().await;
    server.get("/metrics").await.problem(401, "unauthorized");
    let refused = server.with_key("key-alice").get("/metrics").await;
    let problem = refused.problem(403, "forbidden");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("metrics_access"),
        "{problem}"
    );
    let metrics = server.with_key("key-ops").get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("scope=\"caller:alice\""));
}

#[tokio::test]
async fn open_metrics_name_no_caller() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .config(&format!("[server]\nmetrics_access = \"open\"\n{CALLERS}"))
        .start()
        .await;
    // The operator has made the series of the callers first.
    let all = server.with_key("key-ops").get("/metrics").await;
    assert!(all.text().contains("scope=\"caller:alice\""));
    for client in [server.with_key("key-alice"), server.with_key("wrong")] {
        let metrics = client.get("/metrics").await;
        assert_eq!(metrics.status, 200);
        assert!(!metrics.text().contains("alice"), "{}", metrics.text());
        assert!(metrics.text().contains("extractd_limit_in_use{"));
    }
    let client = (*server).clone();
    assert_eq!(client.get("/metrics").await.status, 200);
}

/// Two providers; `cheap` falls back to `dear`, and then to `spare`.
fn models(first: &Upstream, second: &Upstream, models: &str) -> String {
    let providers = provider("first", &first.url(), "") + &provider("second", &second.url(), "");
    let named = model("cheap", "first", "fallback = [\"dear\", \"spare\"]")
        + &model("dear", "second", "")
        + &model("spare", "second", "");
    format!(
        "model = \"dear\"\n{providers}{named}[callers.guest]\nkey = \"key-guest\"\nmodels = {models}\n\
         [callers.ops]\nkey = \"key-ops\"\nrole = \"operator\"\n"
    )
}

fn asking_for(model: &str) -> Value {
    with(single(person(1)), json!({"model": model}))
}

#[tokio::test]
async fn a_caller_uses_the_models_that_it_may() {
    let (first, second) = (Upstream::playing(), Upstream::playing());
    let config = models(&first, &second, "[\"cheap\"]");
    let server = Server::configured(&config).start().await;
    let (guest, ops) = (server.with_key("key-guest"), server.with_key("key-ops"));
    let reply = guest.extract(&asking_for("cheap")).await.ok();
    assert_eq!(reply["model"], "first/cheap-1");
    // A name that does not exist is refused alike, so that names cannot be found out by guessing.
    for other in ["dear", "spare", "second/dear-1", "first/made-up", "no-such"] {
        let problem = guest
            .extract(&asking_for(other))
            .await
            .problem(403, "forbidden");
        assert_eq!(problem["errors"][0]["pointer"], "/model", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(other) && detail.contains("\"cheap\""),
            "{detail}"
        );
        assert!(
            !detail.contains("\"spare\"") || other == "spare",
            "{detail}"
        );
    }
    // The default model is one of the others.
    let problem = guest
        .extract(&single(person(2)))
        .await
        .problem(403, "forbidden");
    assert!(
        problem["detail"].as_str().unwrap().contains("default"),
        "{problem}"
    );
    let batch = json!({"inputs": ["a"], "schema": {"type": "object"}, "model": "dear"});
    guest.batch(&batch).await.problem(403, "forbidden");
    guest
        .post("/v1/jobs", &batch)
        .await
        .problem(403, "forbidden");
    let chat = json!({"model": "dear", "messages": [{"role": "user", "content": "x"}]});
    let refused = guest.post("/v1/chat/completions", &chat).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()["error"]["type"], "permission_error");
    assert_eq!(second.calls(), 0);
    ops.extract(&asking_for("dear")).await.ok();
}

#[tokio::test]
async fn a_caller_is_listed_the_models_that_it_may_use() {
    let (first, second) = (Upstream::playing(), Upstream::playing());
    let config = models(&first, &second, "[\"cheap\", \"spare\"]");
    let server = Server::configured(&config).start().await;
    let ids = async |client: &Client| {
        let list = client.get("/v1/models").await.ok();
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (guest, ops) = (server.with_key("key-guest"), server.with_key("key-ops"));
    assert_eq!(ids(&guest).await, ["cheap", "spare"]);
    assert_eq!(ids(&ops).await, ["cheap", "dear", "spare"]);
    guest.get("/v1/models/dear").await.problem(404, "not_found");
    ops.get("/v1/models/dear").await.ok();
}

#[tokio::test]
async fn a_fallback_that_a_caller_may_not_use_is_passed_over() {
    let first = Upstream::start(|_| Reply::error(404, "the model does not exist"));
    let second = Upstream::playing();
    let config = models(&first, &second, "[\"cheap\", \"spare\"]");
    let server = Server::configured(&config).start().await;
    let reply = server
        .with_key("key-guest")
        .extract(&asking_for("cheap"))
        .await
        .ok();
    assert_eq!(reply["model"], "second/spare-1");
    let reply = server
        .with_key("key-ops")
        .extract(&asking_for("cheap"))
        .await
        .ok();
    assert_eq!(reply["model"], "second/dear-1");
}

#[tokio::test]
async fn all_models_of_a_provider_may_be_allowed() {
    let (first, second) = (Upstream::playing(), Upstream::playing());
    let config = models(&first, &second, "[\"second/*\"]");
    let server = Server::configured(&config).start().await;
    let guest = server.with_key("key-guest");
    for allowed in ["dear", "second/any", "second/dear-1"] {
        guest.extract(&asking_for(allowed)).await.ok();
    }
    guest.extract(&single(person(1))).await.ok();
    for other in ["cheap", "first/any"] {
        guest
            .extract(&asking_for(other))
            .await
            .problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_job_whose_caller_lost_its_model_fails_with_the_reason() {
    let gate = Gate::closed();
    let held = gate.clone();
    let first = Upstream::start(move |_| Reply::Played.behind(&held));
    let second = Upstream::playing();
    let builder = Server::configured(&models(&first, &second, "[\"cheap\"]"));
    let file = builder.folder().join("extractd.toml");
    let server = builder.start().await;
    let body = json!({"inputs": [person(1)], "schema": {"type": "object"}, "model": "cheap"});
    let job = server.with_key("key-guest").post("/v1/jobs", &body).await;
    assert_eq!(job.status, 202);
    let path = format!("/v1/jobs/{}", job.json()["id"].as_str().unwrap());
    first
        .wait_for("the item is called", LIMIT, |log| log.in_flight == 1)
        .await;
    std::fs::write(&file, models(&first, &second, "[\"spare\"]")).unwrap();
    let server = server.kill_and_restart().await;
    let guest = server.with_key("key-guest");
    let job = eventually(LIMIT, "the job ends", async || {
        let job = guest.get(&path).await.ok();
        (job["status"] == "failed").then_some(job)
    })
    .await;
    check_problem(&job["error"], 403, "forbidden");
    assert_eq!(first.calls(), 1);
}

#[tokio::test]
async fn made_up_models_have_no_metrics_and_are_not_shown_to_others() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).config(CALLERS).start().await;
    let [alice, bob, ops] = ["key-alice", "key-bob", "key-ops"].map(|key| server.with_key(key));
    for number in 0..120 {
        // No price is known, so a caller with a budget is refused: the operator makes them up.
        let body = asking_for(&format!("openai/made-up-{number}"));
        ops.extract(&body).await.ok();
    }
    let body = with(single(person(1)), json!({"model": "priced"}));
    alice.extract(&body).await.ok();
    let metrics = ops.get("/metrics").await.text().to_owned();
    assert!(!metrics.contains("made-up"), "{metrics}");
    assert!(
        metrics.contains("extractd_upstream_calls_total{model=\"openai/(other)\"} 120"),
        "{metrics}"
    );
    assert!(
        metrics.contains("extractd_upstream_calls_total{model=\"openai/test-model\"} 1"),
        "a configured model keeps its own series: {metrics}"
    );
    let limits = bob.get("/v1/limits").await;
    assert!(!limits.text().contains("made-up"), "{}", limits.text());
    assert!(ops.get("/v1/limits").await.text().contains("made-up"));
}
