//! Evidence: where in the text each value of a result stands, and what becomes of the values that stand nowhere.

use serde_json::{Value, json};

use crate::support::client::{LIMIT, within};
use crate::support::fixture::with;
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

mod drop;
mod jobs;
mod offsets;
mod require;
mod settings;
mod streams;
mod trial;

const BATCH: &str = "/v1/extract/batch";

/// A person of whom only the name is required, and the phone may be null.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "age": {"type": ["integer", "null"]}, "phone": {"type": "string"},
            "mood": {"enum": ["happy", "sad"]},
        },
        "required": ["name", "age"], "additionalProperties": false,
    })
}

const TEXT: &str = "anna is thirty-two years old";

/// Answer of the simulated model to [`TEXT`], with invented values.
fn invented() -> Value {
    json!({"name": "Anna", "age": 30, "phone": "555-0100", "mood": "sad"})
}

fn single(grounding: &str) -> Value {
    json!({"input": TEXT, "schema": schema(), "grounding": grounding})
}

/// A provider that always gives this answer.
fn always(answer: Value) -> Upstream {
    Upstream::start(move |_| Reply::Json(answer.clone()))
}

/// Returns pointer and status of each value.
fn statuses(result: &Value) -> Vec<(String, String)> {
    let evidence = result["evidence"].as_array();
    let evidence = evidence.unwrap_or_else(|| panic!("evidence: {result}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    evidence
        .iter()
        .map(|leaf| (text(&leaf["pointer"]), text(&leaf["status"])))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(pointer, status)| ((*pointer).to_owned(), (*status).to_owned()))
        .collect()
}

/// Pointer and status of each value of [`invented`].
fn reported() -> Vec<(String, String)> {
    pairs(&[
        ("/name", "normalized"),
        ("/age", "absent"),
        ("/phone", "absent"),
        ("/mood", "derived"),
    ])
}

/// Counts of [`invented`], `times` times.
fn counts(times: u64) -> Value {
    json!({"exact": 0, "normalized": times, "fuzzy": 0, "derived": times, "absent": 2 * times})
}

#[tokio::test]
async fn report_says_of_each_value_where_it_stands() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single("report")).await.ok();
    assert_eq!(reply["data"], invented(), "nothing is changed");
    assert_eq!(statuses(&reply), reported());
    assert_eq!(
        reply["evidence"][0],
        json!({"pointer": "/name", "status": "normalized", "spans": [{"start": 0, "end": 4}], "text": "anna"})
    );
    assert_eq!(
        reply["evidence"][1],
        json!({"pointer": "/age", "status": "absent", "spans": [], "text": ""})
    );
    assert_eq!((upstream.calls(), reply.get("repairs")), (1, None));
    let metrics = server.get("/metrics").await;
    for line in [
        "extractd_evidence_values_total{status=\"normalized\"} 1",
        "extractd_evidence_values_total{status=\"absent\"} 2",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

#[tokio::test]
async fn without_grounding_there_is_no_evidence() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let mut body = single("off");
    for _ in 0..2 {
        let reply = server.extract(&body).await.ok();
        assert_eq!(reply.get("evidence"), None, "{reply}");
        body.as_object_mut().unwrap().remove("grounding");
    }
    let batch = json!({"inputs": [TEXT], "schema": schema()});
    let reply = server.batch(&batch).await.ok();
    assert_eq!(reply["summary"].get("grounding"), None);
    let problem = server
        .extract(&single("strict"))
        .await
        .problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/grounding");
}

#[tokio::test]
async fn each_kind_of_batch_has_evidence_and_its_summary() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let body = json!({"inputs": [TEXT, TEXT, "anna is 30: 555-0100"], "schema": schema(), "grounding": "report"});
    let ordered = server.batch(&body).await.ok();
    let sum = json!({"exact": 2, "normalized": 3, "fuzzy": 0, "derived": 3, "absent": 4});
    assert_eq!(ordered["summary"]["grounding"], sum);
    assert_eq!(statuses(&ordered["results"][1]), reported());

    let events = server
        .open(BATCH, "text/event-stream", &body)
        .await
        .events()
        .await;
    let done = events.last().unwrap();
    assert_eq!(
        (done.name.as_str(), &done.data["grounding"]),
        ("done", &sum)
    );
    let results = events.iter().filter(|event| event.name == "result");
    let with_evidence = results.filter(|event| event.data["evidence"].is_array());
    assert_eq!(with_evidence.count(), 3);

    let query = format!(
        "{BATCH}?schema={}&grounding=report",
        crate::support::fixture::encoded(&schema().to_string())
    );
    let lines = server
        .request(http::Method::POST, &query)
        .header("accept", "application/x-ndjson")
        .header("content-type", "application/x-ndjson")
        .bytes(format!("{}\n", Value::from(TEXT)))
        .send()
        .await
        .lines()
        .await;
    let [result, last] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(statuses(result), reported());
    assert_eq!(last["summary"]["grounding"], counts(1));
}

#[tokio::test]
async fn a_shared_result_has_its_own_evidence() {
    let upstream = always(invented());
    let server = Server::asking(&upstream)
        .config("[cache]\nmax_bytes = 1000000\n")
        .start()
        .await;
    let plain = server.extract(&single("off")).await.ok();
    let reported_result = server.extract(&single("report")).await.ok();
    let dropped = server.extract(&single("drop")).await.ok();
    assert_eq!(upstream.calls(), 1, "evidence is computed after the cache");
    assert_eq!(
        (
            &plain["cached"],
            &reported_result["cached"],
            &dropped["cached"]
        ),
        (&json!(false), &json!(true), &json!(true))
    );
    assert_eq!(statuses(&reported_result), reported());
    assert_eq!(
        dropped["data"],
        json!({"name": "Anna", "age": null, "mood": "sad"})
    );
    server
        .extract(&with(single("require"), json!({"max_attempts": 1})))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(upstream.calls(), 2, "`require` asks for itself");
}

#[tokio::test]
async fn a_large_text_is_searched_without_holding_up_others() {
    let upstream = always(json!({"name": "word 19999", "age": null}));
    let server = Server::with(&upstream).await;
    let words: Vec<_> = (0..20_000).map(|n| format!("word {n}")).collect();
    let body = json!({"input": words.join(", "), "schema": schema(), "grounding": "report"});
    let reply = within(LIMIT, "the answer", server.extract(&body))
        .await
        .ok();
    assert_eq!(statuses(&reply), pairs(&[("/name", "exact")]));
    let start = words.join(", ").len() - "word 19999".len();
    assert_eq!(
        reply["evidence"][0]["spans"],
        json!([{"start": start, "end": start + 10}])
    );
}
