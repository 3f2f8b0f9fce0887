//! Versions of an answer while the model writes it, each checked against the schema before it is sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::partial_publisher::PartialEvent;
use super::partial_stream::PartialStream;
use crate::long_work::{LONG_TEXT_BYTES, Piece, bytes_for, spawn_long};
use crate::schema::Schema;
use crate::types::written_size;
use throttle::CallerId;

/// Maximum length of a version that is checked within the current task, in bytes.
const MAX_INLINE_BYTES: usize = 32 * 1024;
/// Time of a check from which on the next one is long work, and that costs its caller as much as a long text.
const QUICK_CHECK: Duration = Duration::from_millis(1);
/// Pause after a check, in units of the time that it took. The model may write faster than versions are checked.
const PAUSE_PER_CHECK: u32 = 9;

/// Versions of an object in which no text, number or boolean is known to be invalid.
///
/// A version is checked as a whole, so the checks of an answer take time that grows with the square of its length. They take at most a
/// tenth of the stream's time. The client misses versions, whose text comes with a later one.
#[derive(Debug)]
pub struct CheckedVersions {
    partials: PartialStream,
    schema: Arc<Schema>,
    caller: CallerId,
    /// Long check in progress. In a task: the stream may not be polled for long, and would keep a permit from the others.
    checking: JoinSet<Checked>,
    last_check: Duration,
    /// Time from which on the next version is checked.
    next_check: Instant,
}

/// Version that was checked.
#[derive(Debug, Default)]
struct Checked {
    /// Version; `None`: it contradicts the schema.
    version: Option<Value>,
    duration: Duration,
}

impl CheckedVersions {
    pub(super) fn new(partials: PartialStream, schema: Arc<Schema>, caller: CallerId) -> Self {
        Self {
            partials,
            schema,
            caller,
            checking: JoinSet::new(),
            last_check: Duration::ZERO,
            next_check: Instant::now(),
        }
    }

    /// Waits for the next version that is valid as far as it goes.
    ///
    /// # Cancel safety
    /// No version is lost: a check that has begun goes on, and the next call returns its version.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let checked = if let Some(checked) = self.checking.join_next().await {
                checked.unwrap_or_default()
            } else {
                if Instant::now() < self.next_check {
                    sleep_until(self.next_check).await;
                }
                let version = self.next_unchecked().await?;
                let Some(checked) = self.check(version) else {
                    continue;
                };
                checked
            };
            self.last_check = checked.duration;
            self.next_check = Instant::now() + checked.duration * PAUSE_PER_CHECK;
            if checked.version.is_some() {
                return checked.version;
            }
        }
    }

    /// Waits for the next version of the object.
    async fn next_unchecked(&mut self) -> Option<Value> {
        loop {
            if let PartialEvent::Partial { data, .. } = self.partials.next().await? {
                return Some(data);
            }
        }
    }

    /// Checks a version; `None`: this may take long, and a task has begun it.
    fn check(&mut self, version: Value) -> Option<Checked> {
        let bytes = written_size(&version, MAX_INLINE_BYTES);
        let is_slow = bytes.is_none_or(|bytes| self.schema.is_slow_for(bytes));
        if !is_slow && self.last_check < QUICK_CHECK {
            return Some(Checked::new(&self.schema, version));
        }
        let piece = Piece {
            caller: self.caller,
            bytes: bytes_for(self.last_check).max(LONG_TEXT_BYTES),
        };
        let schema = Arc::clone(&self.schema);
        self.checking.spawn(async move {
            let checked = spawn_long(piece, move || Checked::new(&schema, version)).await;
            // A version whose check panics is as one that contradicts.
            checked.unwrap_or_default()
        });
        None
    }
}

impl Checked {
    /// Checks a version, and measures the time.
    fn new(schema: &Schema, version: Value) -> Self {
        let began = Instant::now();
        let is_contradiction = contradicts(schema, &version);
        Self {
            version: Some(version).filter(|_| !is_contradiction),
            duration: began.elapsed(),
        }
    }
}

/// Returns true if a text, number or boolean within a partial answer is not valid. What is still missing does not count. An error of the
/// last text may pass, because it may still grow.
fn contradicts(schema: &Schema, partial: &Value) -> bool {
    let faults = schema.faults(partial);
    faults.iter().any(|fault| {
        let value = partial.pointer(&fault.pointer);
        value.is_some_and(|value| !value.is_object() && !value.is_array())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt;
    use serde_json::json;
    use throttle::{MemoryLedger, MemoryReservation, MemoryUse};

    use super::super::partial_publisher::PartialPublisher;
    use super::*;
    use crate::types::Mode;

    const LIMIT: Duration = Duration::from_secs(60);

    fn memory() -> MemoryReservation {
        MemoryLedger::new(1 << 30, 1 << 30).empty(CallerId(1), MemoryUse::Responses)
    }

    fn versions(schema: &Value) -> (Arc<PartialPublisher>, CheckedVersions) {
        let schema = Arc::new(Schema::compile(&schema.to_string()).unwrap());
        let publisher = Arc::new(PartialPublisher::of_versions(&schema));
        publisher.begin(1, &BTreeMap::new(), "", memory());
        let partials = PartialStream::new(Arc::clone(&publisher));
        let versions = CheckedVersions::new(partials, schema, CallerId(1));
        (publisher, versions)
    }

    /// Schema of a tree, whose cost depends on the instance.
    fn tree() -> Value {
        json!({"type": "object", "properties": {"n": {"type": "integer"}, "inner": {"$ref": "#"}}})
    }

    #[tokio::test]
    async fn a_check_that_may_be_slow_is_no_work_of_the_stream() {
        let quick = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        for (schema, is_slow) in [(quick, false), (tree(), true)] {
            let (publisher, mut versions) = versions(&schema);
            publisher.push(Mode::Tools, r#"{"n": 1, "#);
            let version = versions.next().now_or_never();
            assert_eq!(version.is_none(), is_slow, "{schema}");
            // What was given up is not lost.
            let version = match version {
                None => versions.next().await,
                Some(version) => version,
            };
            assert_eq!(version, Some(json!({"n": 1})));
        }
    }

    #[tokio::test]
    async fn a_version_that_contradicts_is_held_back() {
        let (publisher, mut versions) = versions(&tree());
        publisher.push(Mode::Tools, r#"{"n": "one", "#);
        let waiting = tokio::time::timeout(Duration::from_millis(200), versions.next());
        assert!(waiting.await.is_err());
        publisher.begin(2, &BTreeMap::new(), "", memory());
        publisher.push(Mode::Tools, r#"{"n": 2, "#);
        assert_eq!(versions.next().await, Some(json!({"n": 2})));
    }

    /// Each of 60 references leads to 60 others.
    #[tokio::test]
    async fn checks_take_a_tenth_of_the_time() {
        let all =
            |name: &str| json!({"allOf": vec![json!({"$ref": format!("#/$defs/{name}")}); 60]});
        let integers = json!({"type": "array", "items": {"$ref": "#/$defs/a"}});
        let (publisher, mut versions) = versions(&json!({
            "type": "object",
            "properties": {"list": integers},
            "$defs": {"a": all("b"), "b": all("c"), "c": {"type": "integer"}},
        }));
        let numbers = "7, ".repeat(50);
        publisher.push(Mode::Tools, &format!(r#"{{"list": [{numbers}"#));
        let began = Instant::now();
        assert!(versions.next().await.is_some());
        let took = versions.last_check;
        assert!(versions.next_check >= began + took * (1 + PAUSE_PER_CHECK));
        // No check begins in the pause.
        versions.next_check = Instant::now() + LIMIT;
        publisher.push(Mode::Tools, "8, 9, ");
        assert_eq!(versions.next().now_or_never(), None);
        assert!(versions.checking.is_empty());
        versions.next_check = Instant::now();
        assert!(versions.next().await.is_some());
    }

    /// A client that does not read leaves its stream unpolled, whatever it waits for.
    #[tokio::test]
    async fn streams_that_are_not_polled_keep_no_permit() {
        let mut streams = Vec::new();
        for _ in 0..200 {
            let (publisher, mut versions) = versions(&tree());
            publisher.push(Mode::Tools, r#"{"n": 1, "#);
            assert!(versions.next().now_or_never().is_none());
            streams.push((publisher, versions));
        }
        let piece = Piece {
            caller: CallerId(2),
            bytes: LONG_TEXT_BYTES,
        };
        let other = tokio::time::timeout(LIMIT, spawn_long(piece, || 1)).await;
        assert_eq!(other.unwrap().unwrap(), 1);
    }
}
