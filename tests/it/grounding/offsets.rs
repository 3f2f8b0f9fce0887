//! `offset_unit`: offsets in code points, UTF-16 units or bytes.

use super::*;
use crate::support::fixture::encoded;

const EMOJI: &str = "👩‍👧 zoë: Anna is 32";

fn body() -> Value {
    with(single("report"), json!({"input": EMOJI}))
}

/// Returns the offsets of "Anna" in each unit.
fn expected(unit: &str) -> Value {
    let before = EMOJI.split("Anna").next().unwrap();
    let start = match unit {
        "utf16" => before.encode_utf16().count(),
        "byte" => before.len(),
        _ => before.chars().count(),
    };
    json!([{"start": start, "end": start + 4}])
}

#[tokio::test]
async fn offsets_are_counted_in_the_unit_that_is_asked_for() {
    let upstream = always(json!({"name": "Anna", "age": 32}));
    let server = Server::with(&upstream).await;
    for unit in ["", "code_point", "utf16", "byte"] {
        let query = if unit.is_empty() {
            String::new()
        } else {
            format!("?offset_unit={unit}")
        };
        let reply = server
            .post(&format!("/v1/extract{query}"), &body())
            .await
            .ok();
        assert_eq!(reply["evidence"][0]["spans"], expected(unit), "{unit}");

        let many = json!({"inputs": [EMOJI], "schema": schema(), "grounding": "report"});
        let reply = server.post(&format!("{BATCH}{query}"), &many).await.ok();
        let spans = &reply["results"][0]["evidence"][0]["spans"];
        assert_eq!(spans, &expected(unit), "{unit}");

        let more = if unit.is_empty() {
            String::new()
        } else {
            format!("&offset_unit={unit}")
        };
        let schema = encoded(&schema().to_string());
        let path = format!("{BATCH}?schema={schema}&grounding=report{more}");
        let lines = server
            .request(http::Method::POST, &path)
            .header("accept", "application/x-ndjson")
            .header("content-type", "application/x-ndjson")
            .bytes(Value::from(EMOJI).to_string())
            .send()
            .await
            .lines()
            .await;
        assert_eq!(lines[0]["evidence"][0]["spans"], expected(unit), "{unit}");
    }
}

#[tokio::test]
async fn another_unit_is_refused_with_its_pointer() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let schema = encoded(&schema().to_string());
    for (path, body) in [
        ("/v1/extract?offset_unit=chars".to_owned(), body()),
        (
            format!("{BATCH}?offset_unit=UTF-16"),
            json!({"inputs": [], "schema": {}}),
        ),
        (
            "/v1/jobs/job_1/results?offset_unit=x".to_owned(),
            Value::Null,
        ),
        (
            "/v1/jobs/job_1/events?offset_unit=x".to_owned(),
            Value::Null,
        ),
    ] {
        let answer = if body.is_null() {
            server.get(&path).await
        } else {
            server.post(&path, &body).await
        };
        let problem = answer.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/offset_unit", "{path}");
    }
    let path = format!("{BATCH}?schema={schema}&offset_unit=x");
    let answer = server
        .request(http::Method::POST, &path)
        .header("content-type", "application/x-ndjson")
        .bytes("\"a\"")
        .answer()
        .await;
    answer.problem(422, "invalid_request");
}
