use std::collections::BTreeMap;
use std::future::poll_fn;

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use throttle::{CallerId, MemoryLedger, MemoryReservation, MemoryUse};

use super::super::grounding::GroundingSettings;
use super::super::partial_publisher::{
    COPIES, INLINE_VERSION_BYTES, MAX_PARSED_BYTES, PIECE_BYTES, STEP_BYTES,
};
use super::*;
use crate::long_work::take_all_permits;
use crate::schema::{Lowered, Schema};
use crate::types::{Dialect, Grounding, Mode, OffsetUnit};
use llm_json::VALUE_BYTES;

const MODE: Mode = Mode::Tools;
const CALLER: CallerId = CallerId(8);
const LIMIT: Duration = Duration::from_secs(30);

/// Returns the memory budget of a test, and an empty reservation of it.
fn memory(max_bytes: usize) -> (MemoryLedger, MemoryReservation) {
    let ledger = MemoryLedger::new(max_bytes, max_bytes);
    let empty = ledger.empty(CALLER, MemoryUse::Responses);
    (ledger, empty)
}

/// Returns the elements of an answer as a model writes them.
fn elements(count: usize) -> String {
    let elements = (0..count).map(|number| format!(r#"{{"name":{number}}},"#));
    elements.collect::<Vec<_>>().concat()
}

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
    publisher.begin(1, &forms, "", memory(1 << 30).1);
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
    assert_eq!(poll_fn(|cx| stream.poll_remaining(cx)).await, None);
}

#[tokio::test]
async fn another_attempt_discards_the_previous_answer() {
    let (publisher, mut stream, forms) = publisher(&people(), &Dialect::WHOLE);
    publisher.push(MODE, r#"[{"name": "Ada"}, {"name": "Bo"}"#);
    assert_eq!(
        stream.next().await,
        Some(item(1, 0, json!({"name": "Ada"})))
    );
    publisher.begin(2, &forms, "", memory(1 << 30).1);
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

#[tokio::test]
async fn a_large_object_has_no_further_versions_and_no_element_is_missed() {
    const COUNT: usize = MAX_PARSED_BYTES / VALUE_BYTES;
    let (publisher, mut stream, forms) = publisher(&people(), &Dialect::WHOLE);
    let (ledger, empty) = memory(1 << 30);
    publisher.begin(1, &forms, "", empty);
    publisher.push(MODE, "[");
    let mut sizes = Vec::new();
    for (number, element) in elements(COUNT).split_inclusive("},").enumerate() {
        publisher.push(MODE, element);
        let mut has_item = false;
        loop {
            let event = if has_item {
                stream.next().now_or_never().flatten()
            } else {
                stream.next().await
            };
            match event {
                Some(PartialEvent::Item { index, .. }) => {
                    assert_eq!(index, number);
                    has_item = true;
                }
                Some(PartialEvent::Partial { data, .. }) => {
                    sizes.push(data.as_array().unwrap().len());
                }
                None => break,
            }
        }
    }
    assert_eq!(poll_fn(|cx| stream.poll_remaining(cx)).await, None);
    assert_eq!(sizes.first(), Some(&1));
    let most = MAX_PARSED_BYTES / VALUE_BYTES / 3;
    assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
    assert_eq!(ledger.snapshot().held, 0);
}

#[tokio::test]
async fn the_parsed_answer_is_counted_and_bounded() {
    const COUNT: usize = MAX_PARSED_BYTES / VALUE_BYTES;
    // Room for all that may be kept; for a part of it; for nothing.
    for (max_bytes, min_items) in [(1 << 30, COUNT / 4), (3 << 20, 500), (STEP_BYTES / 2, 200)] {
        let (publisher, mut stream, forms) = publisher(&people(), &Dialect::WHOLE);
        let (ledger, empty) = memory(max_bytes);
        publisher.begin(1, &forms, "", empty);
        publisher.push(MODE, &format!("[{}", elements(200)));
        assert!(ledger.snapshot().held > 0);
        publisher.push(MODE, &elements(COUNT));
        let held = ledger.snapshot().held;
        let most = max_bytes.min(COPIES * MAX_PARSED_BYTES) + COPIES * PIECE_BYTES * VALUE_BYTES;
        assert!(held <= most, "{held} of {most}");
        let mut items = 0;
        while let Some(event) = poll_fn(|cx| stream.poll_remaining(cx)).await {
            assert!(matches!(event, PartialEvent::Item { index, .. } if index == items));
            items += 1;
        }
        assert!(items >= min_items && items < COUNT, "{items}");
        assert_eq!(ledger.snapshot().held, 0);
    }
}

/// Returns the stream of an element whose evidence is long work.
fn long_element() -> PartialStream {
    let schema = Schema::compile(&people().to_string()).unwrap();
    let settings = GroundingSettings::new(Grounding::Report, OffsetUnit::CodePoint, &[]);
    let publisher = Arc::new(PartialPublisher::new(&schema, true, &Arc::new(settings)));
    let text = format!("Ada {}", "of Rome ".repeat(10_000));
    publisher.begin(1, &BTreeMap::new(), &text, memory(1 << 30).1);
    publisher.push(MODE, r#"[{"name": "Ada"}, "#);
    PartialStream::new(publisher)
}

/// Returns true if a stream has no event for now, within a turn of its own.
async fn is_waiting(stream: &mut PartialStream) -> bool {
    tokio::task::yield_now().await;
    stream.next().now_or_never().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_version_and_the_evidence_of_a_long_text_wait_for_their_turns() {
    let release = take_all_permits(CALLER);
    let (publisher, mut versions, _) = publisher(&people(), &Dialect::WHOLE);
    let count = INLINE_VERSION_BYTES / VALUE_BYTES;
    publisher.push(MODE, &format!("[{}", elements(count)));
    for number in 0..count {
        let expected = item(1, number, json!({"name": number}));
        assert_eq!(versions.next().await, Some(expected));
    }
    let mut elements = long_element();
    assert!(is_waiting(&mut versions).await && is_waiting(&mut elements).await);
    drop(release);
    let version = tokio::time::timeout(LIMIT, versions.next()).await.unwrap();
    assert!(matches!(version, Some(PartialEvent::Partial { .. })));
    let element = tokio::time::timeout(LIMIT, elements.next()).await.unwrap();
    let Some(PartialEvent::Item { evidence, .. }) = element else {
        panic!("{element:?}")
    };
    assert_eq!(evidence.map(|evidence| evidence.len()), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_not_polled_keep_no_permit_from_others() {
    let release = take_all_permits(CALLER);
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut streams: Vec<_> = (0..=cores.max(2)).map(|_| long_element()).collect();
    for stream in &mut streams {
        assert!(is_waiting(stream).await);
    }
    drop(release);
    let piece = Piece {
        caller: CALLER,
        bytes: 1,
    };
    let work = tokio::time::timeout(LIMIT, spawn_long(piece, || 1)).await;
    assert_eq!(work.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn an_element_of_an_earlier_call_is_not_published() {
    let (publisher, _, forms) = publisher(&people(), &Dialect::WHOLE);
    publisher.push(MODE, r#"[{"name": "Ada"}, "#);
    let element = publisher.next_element().unwrap();
    publisher.begin(1, &forms, "", memory(1 << 30).1);
    assert_eq!(publisher.check(element), None);
}
