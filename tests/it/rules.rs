//! Rules beyond the schema, asked again like a schema's error; and `on_failure: "best"`, which ends an item as `invalid` with the
//! nearest object (contract, sections 1, 2 and 6).

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, check_pointer, check_problem};
use crate::support::fixture::{encoded, with};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

const NDJSON: &str = "application/x-ndjson";
const SSE: &str = "text/event-stream";

fn schema() -> Value {
    let date = json!({"type": "string", "format": "date"});
    json!({"type": "object", "properties": {"start": date, "end": date, "guests": {"type": "integer"}},
           "required": ["start"], "additionalProperties": false})
}

fn rule(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": message})
}

fn rules() -> Value {
    json!([
        rule(
            "!has(data.end) || data.end >= data.start",
            "the end must not be before the start"
        ),
        rule(
            "!has(data.guests) || data.guests > 0",
            "somebody has to come"
        ),
    ])
}

fn stay(start: &str, end: &str, guests: i64) -> Value {
    json!({"start": start, "end": end, "guests": guests})
}

fn good() -> Value {
    stay("2026-01-01", "2026-01-05", 2)
}

/// Breaks one rule.
fn near() -> Value {
    stay("2026-01-01", "2026-01-05", 0)
}

/// Breaks both.
fn far() -> Value {
    stay("2026-01-05", "2026-01-01", 0)
}

fn single() -> Value {
    json!({"input": "We stay from the first to the fifth", "schema": schema(), "rules": rules()})
}

fn batch(count: usize) -> Value {
    let inputs: Vec<_> = (0..count)
        .map(|number| format!("[item-{number}] We stay"))
        .collect();
    json!({"inputs": inputs, "schema": schema(), "rules": rules(), "on_failure": "best", "max_attempts": 2})
}

/// Of the three items of a batch, the second never gets it right and the third has no object.
fn mixed() -> Upstream {
    Upstream::start(|call| {
        Reply::Text(match call.item() {
            Some(1) => near().to_string(),
            Some(2) => "I cannot say.".to_owned(),
            _ => good().to_string(),
        })
    })
}

#[track_caller]
fn check_mixed<'a>(results: impl IntoIterator<Item = &'a Value>) {
    let mut results: Vec<_> = results.into_iter().collect();
    results.sort_by_key(|result| result["index"].as_u64());
    let [good_one, invalid, failed] = results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(
        (&good_one["status"], &good_one["data"]),
        (&json!("succeeded"), &good())
    );
    check_invalid(invalid, &near());
    assert_eq!(
        (&invalid["attempts"], &invalid["usage"]["total_tokens"]),
        (&json!(2), &json!(30))
    );
    check_problem(&failed["error"], 502, "extraction_failed");
    assert_eq!(
        failed["status"], "failed",
        "there is no object to be the nearest: {failed}"
    );
}

#[track_caller]
fn check_invalid(result: &Value, candidate: &Value) {
    assert_eq!(
        (&result["status"], &result["candidate"]),
        (&json!("invalid"), candidate),
        "{result}"
    );
    assert!(
        result.get("data").is_none() && result.get("error").is_none(),
        "{result}"
    );
    assert!(
        result["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty()),
        "{result}"
    );
    assert_eq!(result["model"], "openai/test-model", "{result}");
}

#[track_caller]
fn check_counts(summary: &Value) {
    let counts =
        ["total", "succeeded", "invalid", "failed", "cancelled"].map(|name| &summary[name]);
    assert_eq!(
        counts,
        [&json!(3), &json!(1), &json!(1), &json!(1), &json!(0)],
        "{summary}"
    );
}

fn asked_again(call: &Call) -> String {
    call.body()["messages"].to_string()
}

#[tokio::test]
async fn a_violated_rule_leads_to_a_validation_retry_with_its_message_and_pointer() {
    let upstream = Upstream::saying([Reply::Json(far()), Reply::Json(near()), Reply::Json(good())]);
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single()).await.ok();
    assert_eq!(
        (&reply["status"], &reply["data"], &reply["attempts"]),
        (&json!("succeeded"), &good(), &json!(3))
    );
    let log = upstream.log();
    assert!(!asked_again(&log.calls[0]).contains("somebody has to come"));
    let (second, third) = (asked_again(&log.calls[1]), asked_again(&log.calls[2]));
    assert!(
        second.contains("the end must not be before the start")
            && second.contains("somebody has to come"),
        "{second}"
    );
    assert!(
        third.contains("/guests: somebody has to come") && !third.contains("before the start"),
        "{third}"
    );
}

#[tokio::test]
async fn an_answer_that_satisfies_its_rules_takes_one_call_whatever_its_root() {
    for (schema, rule_of, data) in [
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            "data.all(n, n > 0) && data.sum() == 6",
            json!([1, 2, 3]),
        ),
        (
            json!({"type": "integer"}),
            "data > 1 && input.contains(string(data))",
            json!(42),
        ),
        (
            json!({"type": "string"}),
            "input.startsWith(data)",
            json!("We"),
        ),
        (
            json!({"type": ["object", "null"]}),
            "data == null",
            json!(null),
        ),
    ] {
        for mode in ["json_schema", "text"] {
            let answer = data.clone();
            let upstream = Upstream::start(move |call| {
                let is_wrapped = call.body().get("response_format").is_some();
                Reply::Json(if is_wrapped {
                    json!({"value": answer})
                } else {
                    answer.clone()
                })
            });
            let server = Server::with(&upstream).await;
            let body = json!({"input": "We are 42", "schema": schema, "rules": [rule(rule_of, "wrong")], "mode": mode});
            let reply = server.extract(&body).await.ok();
            assert_eq!(
                (&reply["data"], &reply["attempts"]),
                (&data, &json!(1)),
                "{rule_of}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_is_violated_and_gives_the_reason() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"start": "2026-01-01"})));
    let server = Server::with(&upstream).await;
    let rules = json!([
        rule("data.end >= data.start", "ends"),
        rule("data.start + 1 > 2", "adds")
    ]);
    let problem = server
        .extract(&with(single(), json!({"rules": rules})))
        .await
        .problem(502, "extraction_failed");
    let errors = problem["errors"].to_string();
    assert!(
        errors.contains("ends (the rule `data.end >= data.start` cannot be evaluated: the field `end` is not there"),
        "{errors}"
    );
    assert!(errors.contains("there is no `string + int`"), "{errors}");
    check_pointer(&problem, "/start");
}

#[tokio::test]
async fn the_problem_has_the_best_candidate_its_errors_and_the_last_text() {
    // One fault, then two of which one is the schema's: the first is the nearest.
    let upstream = Upstream::saying([
        Reply::Json(near()),
        Reply::Json(far()),
        Reply::Text("None, sorry.".to_owned()),
    ]);
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single())
        .await
        .problem(502, "extraction_failed");
    assert_eq!(
        (&problem["candidate"], &problem["raw"]),
        (&near(), &json!("None, sorry."))
    );
    assert_eq!(
        problem["errors"],
        json!([{"pointer": "/guests", "message": "somebody has to come"}])
    );
    assert_eq!(problem["attempts"], 3);
}

#[tokio::test]
async fn on_failure_best_returns_the_best_candidate_as_invalid() {
    let upstream = Upstream::saying([Reply::Json(far()), Reply::Json(near()), Reply::Json(far())]);
    let server = Server::with(&upstream).await;
    let reply = server
        .extract(&with(
            single(),
            json!({"on_failure": "best", "metadata": {"k": "v"}}),
        ))
        .await
        .ok();
    check_invalid(&reply, &near());
    assert_eq!(
        reply["errors"],
        json!([{"pointer": "/guests", "message": "somebody has to come"}])
    );
    assert_eq!(
        (&reply["attempts"], &reply["metadata"]),
        (&json!(3), &json!({"k": "v"}))
    );
    assert!(
        reply["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("ext_")),
        "{reply}"
    );
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn of_candidates_with_equally_many_errors_the_later_is_the_best() {
    let later = stay("2026-02-01", "2026-02-05", -1);
    let upstream = Upstream::saying([
        Reply::Json(near()),
        Reply::Json(later.clone()),
        Reply::Json(far()),
    ]);
    let server = Server::with(&upstream).await;
    check_invalid(
        &server
            .extract(&with(single(), json!({"on_failure": "best"})))
            .await
            .ok(),
        &later,
    );
}

#[tokio::test]
async fn on_failure_best_applies_to_schema_errors() {
    let wrong = json!({"start": "2026-01-01", "guests": "many"});
    let answer = wrong.clone();
    let upstream = Upstream::start(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let body =
        json!({"input": "We stay", "schema": schema(), "on_failure": "best", "max_attempts": 1});
    let reply = server.extract(&body).await.ok();
    check_invalid(&reply, &wrong);
    assert_eq!(reply["errors"][0]["pointer"], "/guests");
}

#[tokio::test]
async fn on_failure_best_fails_without_a_candidate_or_for_another_failure() {
    for (reply, code) in [
        (
            || Reply::Text("I cannot say.".to_owned()),
            "extraction_failed",
        ),
        (|| Reply::Refusal("no".to_owned()), "model_refused"),
        (
            || Reply::Truncated("{\"start\": ".to_owned()),
            "output_truncated",
        ),
        (|| Reply::error(413, "no"), "upstream_error"),
    ] as [(fn() -> Reply, &str); 4]
    {
        let upstream = Upstream::start(move |_| reply());
        let server = Server::with(&upstream).await;
        let body = with(single(), json!({"on_failure": "best", "max_attempts": 2}));
        server.extract(&body).await.problem(502, code);
    }
}

#[tokio::test]
async fn rules_apply_in_every_response_format() {
    let upstream = mixed();
    let server = Server::with(&upstream).await;
    let ordered = server.batch(&batch(3)).await.ok();
    assert_eq!(ordered["status"], "completed");
    check_mixed(ordered["results"].as_array().unwrap());
    check_counts(&ordered["summary"]);

    let events = server
        .open("/v1/extract/batch", SSE, &batch(3))
        .await
        .expect(200)
        .events()
        .await;
    check_mixed(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
    );
    check_counts(&events.last().unwrap().data);

    let query = [
        ("schema", schema()),
        ("rules", rules()),
        ("max_attempts", json!(2)),
    ];
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(&value.to_string())))
        .collect();
    let upload = server.request(
        Method::POST,
        &format!("/v1/extract/batch?{}&on_failure=best", query.join("&")),
    );
    let inputs = batch(3)["inputs"].as_array().unwrap().clone();
    let lines = upload
        .header("accept", NDJSON)
        .lines(inputs.iter().map(Value::to_string))
        .send()
        .await
        .expect(200)
        .lines()
        .await;
    check_mixed(&lines[..3]);
    check_counts(&lines[3]["summary"]);

    let metrics = server.get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("extractd_items_total{status=\"invalid\"} 3"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_streamed_single_ends_with_result_and_done() {
    let upstream = Upstream::start(|_| Reply::Json(near()));
    let server = Server::with(&upstream).await;
    let ask = async |more: Value| {
        let mut events = server
            .open("/v1/extract", SSE, &with(single(), more))
            .await
            .expect(200)
            .events()
            .await;
        events.retain(|event| event.name != "partial");
        events
    };
    let events = ask(json!({"on_failure": "best"})).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["result", "done"]);
    check_invalid(&events[0].data, &near());
    assert_eq!(events[1].data["status"], "invalid");
    let events = ask(json!({})).await;
    assert_eq!(
        (events[0].name.as_str(), &events[1].data["status"]),
        ("error", &json!("failed"))
    );
}

#[tokio::test]
async fn an_invalid_item_does_not_stop_a_batch() {
    let upstream = Upstream::start(|call| {
        Reply::Json(if call.item() == Some(0) {
            near()
        } else {
            good()
        })
    });
    let server = Server::with(&upstream).await;
    let body = with(batch(4), json!({"on_error": "stop", "concurrency": 1}));
    let reply = server.batch(&body).await.ok();
    assert_eq!(
        (
            &reply["status"],
            &reply["summary"]["succeeded"],
            &reply["summary"]["invalid"]
        ),
        (&json!("completed"), &json!(3), &json!(1))
    );
    let reply = server
        .batch(&with(body, json!({"on_failure": "error"})))
        .await
        .ok();
    assert_eq!(
        (&reply["status"], &reply["summary"]["cancelled"]),
        (&json!("stopped"), &json!(3))
    );
}

#[tokio::test]
async fn equal_items_share_an_invalid_outcome_and_it_is_not_cached() {
    let upstream = Upstream::start(|_| Reply::Json(near()).after(Duration::from_millis(300)));
    let server = Server::asking(&upstream)
        .config("[cache]\nmax_bytes = 1000000\n")
        .start()
        .await;
    let best = with(single(), json!({"on_failure": "best", "max_attempts": 1}));
    let error = with(best.clone(), json!({"on_failure": "error"}));
    let (one, other, third) = tokio::join!(
        server.extract(&best),
        server.extract(&best),
        server.extract(&error)
    );
    check_invalid(&one.ok(), &near());
    check_invalid(&other.ok(), &near());
    assert_eq!(
        third.problem(502, "extraction_failed")["candidate"],
        near(),
        "each makes of it what it asked for"
    );
    assert_eq!(upstream.calls(), 1);
    check_invalid(&server.extract(&best).await.ok(), &near());
    assert_eq!(upstream.calls(), 2, "asked anew");
}

#[tokio::test]
async fn items_with_other_rules_are_not_equal() {
    let upstream = Upstream::start(|_| Reply::Json(near()));
    let server = Server::asking(&upstream)
        .config("[cache]\nmax_bytes = 1000000\n")
        .start()
        .await;
    let without = with(single(), json!({"rules": []}));
    assert_eq!(server.extract(&without).await.ok()["data"], near());
    assert_eq!(server.extract(&without).await.ok()["cached"], true);
    server
        .extract(&with(single(), json!({"max_attempts": 3})))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(upstream.calls(), 4);
}

#[track_caller]
fn check_refused(answer: &Answer, pointer: &str, words: &str) {
    let problem = answer.problem(422, "invalid_request");
    check_pointer(&problem, pointer);
    assert!(
        problem["detail"].as_str().unwrap().contains(words),
        "{problem}"
    );
}

#[tokio::test]
async fn an_invalid_rule_is_rejected_with_its_pointer_and_column() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let good = rule("true", "never");
    for (second, pointer, words) in [
        (
            rule("data.end >=", "m"),
            "/rules/1/expression",
            "line 1, column 12",
        ),
        (
            rule("end >= data.start", "m"),
            "/rules/1/expression",
            "the variable `end` is not known",
        ),
        (
            rule("data.end.trunc() == 1", "m"),
            "/rules/1/expression",
            "the function `trunc` is not known",
        ),
        (
            rule("data.size() + 1", "m"),
            "/rules/1/expression",
            "true or false",
        ),
        (rule("true", ""), "/rules/1/message", "is empty"),
        (
            json!({"expression": "true"}),
            "/rules/1/message",
            "required",
        ),
        (
            json!({"expression": 3, "message": "m"}),
            "/rules/1/expression",
            "string",
        ),
        (
            json!({"expression": "true", "message": "m", "name": "n"}),
            "/rules/1/name",
            "unknown field",
        ),
        (json!("true"), "/rules/1", "Rule"),
    ] {
        check_refused(
            &server
                .extract(&with(single(), json!({"rules": [good, second]})))
                .await,
            pointer,
            words,
        );
    }
    check_refused(
        &server
            .extract(&with(single(), json!({"rules": vec![good; 101]})))
            .await,
        "/rules",
        "more than 100",
    );
    check_refused(
        &server
            .extract(&with(single(), json!({"on_failure": "worst"})))
            .await,
        "/on_failure",
        "`best`",
    );
    check_refused(
        &server
            .batch(&with(batch(1), json!({"rules": [rule("1 +", "m")]})))
            .await,
        "/rules/0/expression",
        "column 4",
    );
    let query = format!(
        "/v1/extract/batch?schema=%7B%7D&rules={}",
        encoded("[{\"expression\": \"(\", \"message\": \"m\"}]")
    );
    check_refused(
        &server
            .request(Method::POST, &query)
            .lines(["\"a\""])
            .answer()
            .await,
        "/rules/0/expression",
        "column 2",
    );
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_hostile_rule_costs_bounded_time_and_does_not_block_other_requests() {
    let numbers: Vec<_> = (0..5000).collect();
    let list = numbers.clone();
    let upstream = Upstream::start(move |call| {
        Reply::Json(if call.item() == Some(1) {
            json!([1])
        } else {
            json!(list)
        })
    });
    let server = Server::with(&upstream).await;
    let loops = |levels: usize| {
        format!(
            "{}true{}",
            "data.all(x, ".repeat(levels),
            ")".repeat(levels)
        )
    };
    let body = |expression: &str, input: &str| {
        let schema = json!({"type": "array", "items": {"type": "integer"}});
        json!({"input": input, "schema": schema, "rules": [rule(expression, "m")], "max_attempts": 1, "mode": "text"})
    };
    for expression in [
        "(".repeat(4000),
        "!".repeat(4096),
        format!("data{}", ".a".repeat(2000)),
        format!("1{} > 0", "+1".repeat(2000)),
        "data.all(x, ".repeat(300),
        "x".repeat(5000),
        "'\\x".to_owned(),
    ] {
        check_refused(
            &server.extract(&body(&expression, "a")).await,
            "/rules/0/expression",
            "",
        );
    }
    let began = Instant::now();
    let (slow, small) = (
        body(&loops(20), "[item-0] a"),
        body("data.size() == 1", "[item-1] a"),
    );
    let attacks = (0..8).map(|_| server.extract(&slow));
    let (attacked, small) = tokio::join!(
        futures_util::future::join_all(attacks),
        server.extract(&small)
    );
    assert_eq!(small.ok()["data"], json!([1]));
    for answer in attacked {
        let problem = answer.problem(502, "extraction_failed");
        assert!(
            problem["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("too much work"),
            "{problem}"
        );
        assert_eq!(problem["candidate"], json!(numbers));
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}
