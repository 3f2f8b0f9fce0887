use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use super::*;
use crate::types::Dialect;

const MODE: Mode = Mode::Tools;

fn preview(
    schema: &Value,
    subset: &'static Dialect,
) -> (
    Arc<PartialPublisher>,
    PartialStream,
    BTreeMap<Mode, Arc<Lowered>>,
) {
    let schema = Schema::compile(&schema.to_string()).unwrap();
    let preview = Arc::new(PartialPublisher::new(&schema, true));
    let forms = BTreeMap::from([(MODE, Arc::new(schema.lowered(subset).unwrap()))]);
    preview.begin(1, &forms);
    (Arc::clone(&preview), PartialStream::new(preview), forms)
}

fn people() -> Value {
    json!({"type": "array", "items": {"type": "object", "required": ["name"]}})
}

fn item(attempt: u32, index: usize, data: Value) -> PartialEvent {
    PartialEvent::Item {
        attempt,
        index,
        data,
    }
}

fn partial(attempt: u32, data: Value) -> PartialEvent {
    PartialEvent::Partial { attempt, data }
}

#[tokio::test]
async fn an_element_is_told_while_the_next_is_being_written_and_raised_by_itself() {
    let (preview, mut watch, _) = preview(&people(), &Dialect::OBJECT);
    assert!(watch.next().now_or_never().is_none(), "nothing is known");
    preview.push(MODE, r#"{"value": [{"name": "Ada"}, {"na"#);
    assert_eq!(watch.next().await, Some(item(1, 0, json!({"name": "Ada"}))));
    assert_eq!(
        watch.next().await,
        Some(partial(1, json!([{"name": "Ada"}, {}])))
    );
    preview.push(MODE, r#"me": "Bo"}, {"age": 3}, {"name": "Cy"}]}"#);
    assert_eq!(watch.next().await, Some(item(1, 1, json!({"name": "Bo"}))));
    assert_eq!(
        watch.next().await,
        Some(item(1, 3, json!({"name": "Cy"}))),
        "what is not valid is not told"
    );
    assert!(
        watch
            .next()
            .await
            .is_some_and(|news| matches!(news, PartialEvent::Partial { .. }))
    );
    assert_eq!(watch.drain_remaining(), None);
}

#[tokio::test]
async fn another_attempt_begins_anew() {
    let (preview, mut watch, forms) = preview(&people(), &Dialect::WHOLE);
    preview.push(MODE, r#"[{"name": "Ada"}, {"name": "Bo"}"#);
    assert_eq!(watch.next().await, Some(item(1, 0, json!({"name": "Ada"}))));
    preview.begin(2, &forms);
    preview.push(MODE, r#"[{"name": "Al"}, "#);
    assert_eq!(watch.next().await, Some(item(2, 0, json!({"name": "Al"}))));
    assert_eq!(
        watch.next().await,
        Some(partial(2, json!([{"name": "Al"}])))
    );
}

#[tokio::test]
async fn a_slow_reader_misses_versions_and_no_element() {
    let (preview, mut watch, _) = preview(&people(), &Dialect::WHOLE);
    for number in 0..1_000 {
        preview.push(MODE, if number == 0 { "[" } else { "," });
        preview.push(MODE, &json!({"name": number}).to_string());
    }
    for number in 0..1_000 {
        assert_eq!(
            watch.next().await,
            Some(item(1, number, json!({"name": number})))
        );
    }
    let Some(PartialEvent::Partial { data, .. }) = watch.next().await else {
        panic!("one version")
    };
    assert_eq!(data.as_array().unwrap().len(), 1_000);
    preview.push(MODE, ",{");
    assert!(
        watch.next().now_or_never().is_none(),
        "not at once again, for it is long"
    );
    assert!(watch.next().await.is_some());
}
