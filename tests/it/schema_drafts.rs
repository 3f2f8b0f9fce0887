//! Schemas of every draft through the service, warnings about them, values copied from examples, and dry runs.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixture::{single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn a_schema_of_any_draft_judges_the_answer() {
    for schema in [
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://example.com/a", "type": "object",
            "definitions": {"age": {"type": "integer", "minimum": 0, "exclusiveMinimum": true}},
            "properties": {"age": {"$ref": "#/definitions/age"}}, "required": ["age"]}),
        json!({"$schema": "http://json-schema.org/draft-06/schema", "type": "object",
            "properties": {"age": {"$id": "#age", "type": "integer", "exclusiveMinimum": 0}}, "required": ["age"]}),
        json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "type": "object",
            "properties": {"age": {"$ref": "#age"}}, "required": ["age"],
            "$defs": {"a": {"$anchor": "age", "type": "integer", "exclusiveMinimum": 0}}}),
        json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "exclusiveMinimum": true, "nullable": true}},
            "required": ["age"]}),
        json!({"type": "object", "properties": {"age": {"$ref": "#/definitions/Page<Age>"}}, "required": ["age"],
            "definitions": {"Page<Age>": {"type": "integer", "exclusiveMinimum": 0}}}),
    ] {
        let upstream = Upstream::saying([
            Reply::Json(json!({"age": 0})),
            Reply::Json(json!({"age": 41})),
        ]);
        let server = Server::with(&upstream).await;
        let body = with(single("Ada is 41"), json!({"schema": schema}));
        let reply = server.extract(&body).await.ok();
        assert_eq!(
            (&reply["data"], &reply["attempts"]),
            (&json!({"age": 41}), &json!(2)),
            "{schema}"
        );
    }
}

#[tokio::test]
async fn likely_mistakes_are_reported_as_warnings() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"day": "x"})));
    let server = Server::with(&upstream).await;
    let schema =
        json!({"type": "object", "properties": {"day": {"type": "string", "format": "dat"}}});
    let check = |warnings: &Value| {
        assert_eq!(
            warnings[0]["pointer"], "/properties/day/format",
            "{warnings}"
        );
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(message.contains("\"date\""), "{message}");
    };
    let body = with(single("Ada"), json!({"schema": schema}));
    check(&server.extract(&body).await.ok()["warnings"]);
    let batch = json!({"inputs": ["Ada"], "schema": schema});
    check(&server.batch(&batch).await.ok()["summary"]["warnings"]);
    let job = server.post("/v1/jobs", &batch).await;
    assert_eq!(job.status, 202);
    check(&job.json()["warnings"]);
    let put = server
        .request(Method::PUT, "/v1/schemas/day")
        .json(&schema)
        .answer()
        .await;
    assert_eq!(put.status, 201);
    check(&put.json()["warnings"]);
}

#[tokio::test]
async fn what_is_no_schema_costs_no_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for (schema, words) in [
        (json!({"name": "string"}), "properties"),
        (
            json!({"name": "person", "strict": true, "schema": {"type": "object"}}),
            "`schema`",
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"b": {}}, "additionalProperties": false}),
            "forbids",
        ),
    ] {
        let body = with(single("Ada"), json!({"schema": schema}));
        let problem = server.extract(&body).await.problem(422, "invalid_schema");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    }
    assert!(upstream.log().calls.is_empty());
}

#[tokio::test]
async fn a_value_of_an_example_is_rejected_for_another_text() {
    let invented = json!({"name": "Grace", "due": "2026-07-21"});
    let upstream = Upstream::saying([
        Reply::Json(invented),
        Reply::Json(json!({"name": "Grace", "due": null})),
    ]);
    let server = Server::with(&upstream).await;
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}, "due": {"type": ["string", "null"]}},
        "required": ["name", "due"]});
    let body = json!({"input": "Grace called", "schema": schema,
        "examples": [{"input": "Ada, by 2026-07-21", "output": {"name": "Ada", "due": "2026-07-21"}}]});
    let reply = server.extract(&body).await.ok();
    assert_eq!(reply["data"], json!({"name": "Grace", "due": null}));
    let again = upstream.log().calls[1].body()["messages"].to_string();
    assert!(again.contains("/due"), "{again}");
}

#[tokio::test]
async fn a_dry_run_is_refused_above_a_mebibyte() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let dry_run = |text: String| with(single(text), json!({"dry_run": true}));
    server.extract(&dry_run("x".repeat(900_000))).await.ok();
    let problem = server
        .extract(&dry_run("x".repeat(1_100_000)))
        .await
        .problem(413, "payload_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("a dry run may have 1048576 bytes"),
        "{detail}"
    );
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_dry_run_returns_the_request_and_makes_no_call() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = with(single("Ada is 41"), json!({"dry_run": true}));
    let reply = server.extract(&body).await.ok();
    assert_eq!(reply["dry_run"], true);
    let request = &reply["request"];
    assert!(
        request["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("POST http://127.0.0.1:")),
        "{reply}"
    );
    assert!(
        request["body"]["messages"]
            .to_string()
            .contains("Ada is 41"),
        "{reply}"
    );
    assert!(upstream.log().calls.is_empty());
}

#[tokio::test]
async fn digits_are_kept() {
    let upstream = Upstream::start(|_| {
        Reply::Text(
            r#"{"tracking": 9400111899223818218411, "version": 1.10, "rate": 0.123456789012345678901234567890}"#
                .to_owned(),
        )
    });
    let server = Server::with(&upstream).await;
    let schema = json!({"type": "object", "properties": {"tracking": {"type": "integer"}, "version": {"type": "string"},
        "rate": {"type": "number"}}, "required": ["tracking", "version", "rate"]});
    let body = with(single("x"), json!({"schema": schema}));
    let answer = server.extract(&body).await;
    assert_eq!(answer.status, 200);
    for part in [
        r#""tracking":9400111899223818218411"#,
        r#""version":"1.10""#,
        r#""rate":0.123456789012345678901234567890"#,
    ] {
        assert!(answer.text().contains(part), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_error_under_alternatives_names_its_own_place() {
    let upstream = Upstream::saying([
        Reply::Json(json!({"lines": [{"kind": "item", "qty": "x"}]})),
        Reply::Json(json!({"lines": [{"kind": "item", "qty": 2}]})),
    ]);
    let server = Server::with(&upstream).await;
    let schema = json!({"type": "object", "required": ["lines"], "properties": {"lines": {"anyOf": [{"type": "null"},
        {"type": "array", "items": {"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "item"}, "qty": {"type": "integer"}}, "required": ["kind", "qty"]},
            {"type": "object", "properties": {"kind": {"const": "note"}, "text": {"type": "string"}}, "required": ["kind", "text"]}]}}]}}});
    let body = with(single("two"), json!({"schema": schema, "coerce": false}));
    assert_eq!(server.extract(&body).await.ok()["attempts"], 2);
    let again = upstream.log().calls[1].body()["messages"].to_string();
    assert!(
        again.contains("/lines/0/qty: expected an integer, got"),
        "{again}"
    );
}
