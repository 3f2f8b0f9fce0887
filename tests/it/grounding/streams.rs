//! Streams: the `result` and the elements of a list have evidence.

use super::*;
use crate::support::client::Event;
use crate::upstream::Gate;

const PEOPLE: &str = "Ada is 36 and Bo is 41.";

fn people() -> Value {
    json!({"type": "object", "required": ["people"], "properties": {"people": {"type": "array", "items": {
        "type": "object", "required": ["name", "age"], "properties": {
            "name": {"type": "string"}, "age": {"type": ["integer", "null"]}}}}}})
}

async fn events(grounding: &str) -> Vec<Event> {
    events_of(PEOPLE, grounding).await
}

async fn events_of(text: &str, grounding: &str) -> Vec<Event> {
    let pieces = [
        r#"{"people": [{"name": "Eve", "age": 7}, {"name": "Ada", "age": 36}, "#,
        r#"{"name": "Bo", "age": 99}]}"#,
    ];
    let gate = Gate::closed();
    gate.open();
    let pieces = pieces.map(str::to_owned).to_vec();
    let upstream = Upstream::start(move |_| Reply::Streamed(pieces.clone(), gate.clone(), true));
    let server = Server::with(&upstream).await;
    let body = json!({"input": text, "schema": people(), "stream": "items", "grounding": grounding, "max_attempts": 1});
    let path = "/v1/extract?offset_unit=byte";
    server
        .open(path, "*/*", &body)
        .await
        .expect(200)
        .events()
        .await
}

fn items(events: &[Event]) -> Vec<&Value> {
    let items = events.iter().filter(|event| event.name == "item");
    items.map(|event| &event.data).collect()
}

#[tokio::test]
async fn report_has_the_evidence_of_each_element_and_of_the_result() {
    let events = events("report").await;
    let items = items(&events);
    assert_eq!(items.len(), 3, "{events:?}");
    assert_eq!(
        statuses(items[0]),
        pairs(&[("/name", "absent"), ("/age", "absent")])
    );
    assert_eq!(
        statuses(items[1]),
        pairs(&[("/name", "exact"), ("/age", "exact")])
    );
    assert_eq!(
        items[1]["evidence"][1]["spans"],
        json!([{"start": 7, "end": 9}])
    );
    let result = &events[events.len() - 2];
    assert_eq!(result.name, "result");
    assert_eq!(statuses(&result.data).len(), 6);
}

#[tokio::test]
async fn drop_sends_the_elements_of_the_result() {
    let events = events("drop").await;
    let expected = [
        json!({"name": "Ada", "age": 36}),
        json!({"name": "Bo", "age": null}),
    ];
    let items = items(&events);
    let data: Vec<_> = items.iter().map(|item| item["data"].clone()).collect();
    assert_eq!(data, expected);
    assert_eq!(
        (&items[0]["index"], &items[1]["index"]),
        (&json!(0), &json!(1))
    );
    let result = &events[events.len() - 2].data;
    assert_eq!(result["data"]["people"], json!(expected));
}

#[tokio::test]
async fn require_sends_only_elements_that_stand_in_the_text() {
    let events = events("require").await;
    let data: Vec<_> = items(&events)
        .iter()
        .map(|item| item["data"].clone())
        .collect();
    assert_eq!(data, [json!({"name": "Ada", "age": 36})]);
    assert_eq!(events[events.len() - 2].name, "error");
}

/// The evidence of each element is long work, which the result waits for.
#[tokio::test]
async fn elements_of_a_long_text_come_before_the_result() {
    let text = format!("{PEOPLE} {}", "They drink tea. ".repeat(2_000));
    for (grounding, count) in [("report", 3), ("drop", 2), ("require", 1)] {
        let events = events_of(&text, grounding).await;
        let items = items(&events);
        assert_eq!(items.len(), count, "{grounding}: {events:?}");
        for (index, item) in items.iter().enumerate() {
            assert_eq!(item["index"], index, "{grounding}: {events:?}");
        }
        let ended = events
            .iter()
            .position(|event| matches!(event.name.as_str(), "result" | "error"));
        assert_eq!(ended, Some(count), "{grounding}: {events:?}");
    }
}
