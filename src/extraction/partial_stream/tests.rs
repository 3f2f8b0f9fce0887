use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use super::*;
use crate::types::{Dialect, Grounding, OffsetUnit};

const MODE: Mode = Mode::Tools;

fn publisher(
    schema: &Value,
    subset: &'static Dialect,
) -> (
    Arc<PartialPublisher>,
    PartialStream,
    BTreeMap<Mode, Arc<Lowered>>,
) {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    let off = GroundingSettings::new(Grounding::Off, OffsetUnit::CodePoint, &[]);
    let off = Arc::new(off);
    let publisher = Arc::new(PartialPublisher::new(&schema, true, &off));
    let forms = BTreeMap::from([(MODE, Arc::new(schema.lowered(subset).unwrap()))]);
    publisher.begin(1, &forms, "");
    (Arc::clone(&publisher), PartialStream::new(publisher), forms)
}

fn people() -> Value {
    json!({"type": "array", "items": {"type": "object", "required": ["name"]}})
}

fn item(attempt: u32, index: usize, data: Value) -> PartialEvent {
    PartialEvent::Item {
        attempt,
        index,
        data,
        evidence: None,
    }
}

fn partial(attempt: u32, data: Value) -> PartialEvent {
    PartialEvent::Partial { attempt, data }
}

#[tokio::test]
async fn a_complete_element_is_published_while_the_next_is_written() {
    let (publisher, mut stream, _) = publisher(&people(), &Dialect::OBJECT);
    assert!(stream.next().now_or_never().is_none(), "nothing is known");
    publisher.push(MODE, r#"{"value": [{"name": "Ada"}, {"na"#);
    assert_eq!(
        stream.next().await,
        Some(item(1, 0, json!({"name": "Ada"})))
    );
    assert_eq!(
        stream.next().await,
        Some(partial(1, json!([{"name": "Ada"}, {}])))
    );
    publisher.push(MODE, r#"me": "Bo"}, {"age": 3}, {"name": "Cy"}]}"#);
    assert_eq!(stream.next().await, Some(item(1, 1, json!({"name": "Bo"}))));
    assert_eq!(
        stream.next().await,
        Some(item(1, 3, json!({"name": "Cy"}))),
        "an invalid element is not published"
    );
    assert!(
        stream
            .next()
            .await
            .is_some_and(|event| matches!(event, PartialEvent::Partial { .. }))
    );
    assert_eq!(stream.drain_remaining(), None);
}

#[tokio::test]
async fn another_attempt_discards_the_previous_answer() {
    let (publisher, mut stream, forms) = publisher(&people(), &Dialect::WHOLE);
    publisher.push(MODE, r#"[{"name": "Ada"}, {"name": "Bo"}"#);
    assert_eq!(
        stream.next().await,
        Some(item(1, 0, json!({"name": "Ada"})))
    );
    publisher.begin(2, &forms, "");
    publisher.push(MODE, r#"[{"name": "Al"}, "#);
    assert_eq!(stream.next().await, Some(item(2, 0, json!({"name": "Al"}))));
    assert_eq!(
        stream.next().await,
        Some(partial(2, json!([{"name": "Al"}])))
    );
}

#[tokio::test]
async fn a_slow_reader_misses_versions_but_no_element() {
    let (publisher, mut stream, _) = publisher(&people(), &Dialect::WHOLE);
    for number in 0..1_000 {
        publisher.push(MODE, if number == 0 { "[" } else { "," });
        publisher.push(MODE, &json!({"name": number}).to_string());
    }
    for number in 0..1_000 {
        assert_eq!(
            stream.next().await,
            Some(item(1, number, json!({"name": number})))
        );
    }
    let Some(PartialEvent::Partial { data, .. }) = stream.next().await else {
        panic!("one version")
    };
    assert_eq!(data.as_array().unwrap().len(), 1_000);
    publisher.push(MODE, ",{");
    assert!(
        stream.next().now_or_never().is_none(),
        "a long object is not sent again at once"
    );
    assert!(stream.next().await.is_some());
}
