//! Settings in schema and spec: parts without grounding, few-shot examples, the OpenAI endpoint.

use super::*;

#[tokio::test]
async fn a_part_of_the_schema_is_left_out() {
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "summary": {"type": "string", "x-extractd-grounding": "off"},
        "verdict": {"type": "object", "x-extractd-grounding": "off", "properties": {"why": {"type": "string"}}},
        "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}}},
        "$defs": {"note": {"type": "string", "x-extractd-grounding": "off"}}});
    let data = json!({"name": "Anna", "summary": "A woman's age.", "verdict": {"why": "none"}, "notes": ["brief"]});
    let upstream = always(data.clone());
    let server = Server::with(&upstream).await;
    for grounding in ["report", "drop", "require"] {
        let body = json!({"input": TEXT, "schema": schema, "grounding": grounding, "cache": "off"});
        let reply = server.extract(&body).await.ok();
        assert_eq!(reply["data"], data, "{grounding}");
        assert_eq!(statuses(&reply), pairs(&[("/name", "normalized")]));
        assert_eq!(reply.get("warnings"), None);
    }
    for mode in ["json_schema", "tools"] {
        let body = json!({"input": TEXT, "schema": schema, "mode": mode, "cache": "off"});
        server.extract(&body).await.ok();
        let calls = upstream.log().calls;
        let sent = calls.last().unwrap().body().to_string();
        assert!(!sent.contains("x-extractd"), "{mode}: {sent}");
    }
    let mistyped = json!({"properties": {"a": {"x-extractd-grounding": false}}});
    let body = json!({"input": TEXT, "schema": mistyped});
    let reply = server.extract(&body).await.ok();
    assert_eq!(
        reply["warnings"][0]["pointer"],
        "/properties/a/x-extractd-grounding"
    );
}

#[tokio::test]
async fn the_setting_of_a_registered_schema_counts() {
    let upstream = always(json!({"name": "Anna", "summary": "Short."}));
    let server = Server::with(&upstream).await;
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "summary": {"type": "string", "x-extractd-grounding": "off"}}});
    let stored = server
        .request(http::Method::PUT, "/v1/schemas/person")
        .json(&schema)
        .answer()
        .await;
    assert!(stored.status.is_success(), "{}", stored.text());
    let body = json!({"input": TEXT, "schema": "person", "grounding": "require"});
    let reply = server.extract(&body).await.ok();
    assert_eq!(statuses(&reply), pairs(&[("/name", "normalized")]));
}

#[tokio::test]
async fn a_value_of_the_callers_examples_is_marked() {
    let examples = json!([{"input": "Bob, 61, of Rome", "output": {"name": "Bob", "age": 61}}]);
    let upstream = always(json!({"name": "Anna", "age": 61, "phone": "555-0100"}));
    let server = Server::with(&upstream).await;
    let body = with(single("report"), json!({"examples": examples}));
    let reply = server.extract(&body).await.ok();
    let marks: Vec<_> = reply["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| leaf.get("from_example").cloned())
        .collect();
    assert_eq!(marks, [None, Some(json!(true)), None]);
    assert_eq!(
        reply["attempts"], 1,
        "the value is reported, not asked for again"
    );
    let body = with(single("drop"), json!({"examples": examples}));
    assert_eq!(
        server.extract(&body).await.ok()["data"],
        json!({"name": "Anna", "age": null})
    );
}

#[tokio::test]
async fn the_openai_endpoint_has_evidence_as_an_extra_field() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let format = json!({"type": "json_schema", "json_schema": {"name": "p", "schema": schema()}});
    let chat = |grounding: &str, more: Value| {
        let body = json!({"model": "test-model", "messages": [{"role": "user", "content": TEXT}],
            "response_format": format, "extractd": {"grounding": grounding}});
        with(body, more)
    };
    let path = "/v1/chat/completions?offset_unit=utf16";
    let reply = server.post(path, &chat("report", json!({}))).await.ok();
    assert_eq!(statuses(&reply["extractd"]), reported());

    let reply = server.post(path, &chat("drop", json!({}))).await.ok();
    let content = reply["choices"][0]["message"]["content"].as_str().unwrap();
    let data: Value = serde_json::from_str(content).unwrap();
    assert_eq!(data, json!({"name": "Anna", "age": null, "mood": "sad"}));
    assert_eq!(
        reply["extractd"]["repairs"].as_array().map(Vec::len),
        Some(2)
    );

    let streamed = server
        .post(path, &chat("drop", json!({"stream": true})))
        .await;
    let text = streamed.text();
    let content: String = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(
        content, r#"{"name":"Anna","age":null,"mood":"sad"}"#,
        "no invented value is streamed"
    );
    assert!(text.contains("\"evidence\":["), "{text}");
}
