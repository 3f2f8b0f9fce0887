use std::sync::mpsc;

use serde_json::json;
use throttle::{MemoryLedger, MemoryUse};

use super::*;
use crate::types::{Grounding, OffsetUnit};

const LIMIT: Duration = Duration::from_secs(60);

fn publisher_of_versions() -> PartialPublisher {
    let elements = json!({"type": "array", "items": {"type": "integer"}});
    let publisher = PartialPublisher::of_versions(&Schema::compile(&elements.to_string()).unwrap());
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let memory = ledger.empty(CallerId(1), MemoryUse::Responses);
    publisher.begin(1, &BTreeMap::new(), "1, 2", memory);
    publisher
}

#[test]
fn a_publisher_of_versions_has_no_elements() {
    let publisher = publisher_of_versions();
    assert_eq!(publisher.silence(), None);
    publisher.push(Mode::Tools, "[1, 2, ");
    assert!(publisher.silence().is_some());
    assert!(publisher.next_element().is_none());
    let version = PartialEvent::Partial {
        attempt: 1,
        data: json!([1, 2]),
    };
    assert_eq!(publisher.version(), Some(version));
}

#[test]
fn the_text_of_a_grounded_list_is_held_before_the_answer_begins() {
    let people = json!({"type": "array", "items": {"type": "object", "required": ["name"]}});
    let schema = Schema::compile(&people.to_string()).unwrap();
    let text = "x".repeat(STEP_BYTES);
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let of_text = STEP_BYTES * INDEXED_TEXT_BYTES;
    for (mode, held) in [(Grounding::Off, 0), (Grounding::Report, of_text)] {
        let settings = GroundingSettings::new(mode, OffsetUnit::CodePoint, &[]);
        let publisher = PartialPublisher::new(&schema, true, &Arc::new(settings));
        let memory = ledger.empty(CallerId(1), MemoryUse::Responses);
        publisher.begin(1, &BTreeMap::new(), &text, memory);
        assert_eq!(ledger.snapshot().held, held);
    }
}

/// A version is copied while the state is locked, which takes milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn text_that_waits_for_a_version_keeps_no_worker() {
    let publisher = Arc::new(publisher_of_versions());
    let (release, released) = mpsc::channel::<()>();
    let (locked, is_locked) = mpsc::channel();
    let copying = Arc::clone(&publisher);
    let copying = std::thread::spawn(move || {
        let _state = copying.lock();
        locked.send(()).unwrap();
        let _ = released.recv_timeout(LIMIT);
    });
    is_locked.recv().unwrap();
    let pushing = tokio::spawn(async move { publisher.push(Mode::Tools, "[1") });
    let other = tokio::time::timeout(LIMIT / 2, tokio::spawn(async {})).await;
    drop(release);
    pushing.await.unwrap();
    copying.join().unwrap();
    assert!(other.is_ok(), "the only worker waits for the lock");
}
