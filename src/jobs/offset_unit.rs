//! Offsets of recorded evidence in the unit that a reader asks for. They are stored in code points; the job's input, which is
//! stored too, has what it takes to convert them.
//!
//! An input may be long, so its memory is reserved before it is read, in a turn of the reader's caller.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use throttle::{NoMemory, RETRY_SOON};

use super::Jobs;
use super::errors::store_problem;
use super::event_follower::EventPage;
use super::store::{Event, JobKey};
use crate::contract::to_json;
use crate::extraction::WaitingMemory;
use crate::long_work::{Piece, spawn_if_long};
use crate::types::{
    Code, Error, Item, LeafEvidence, OffsetUnit, convert_offsets, is_long_to_parse,
};

/// Member of a result that has offsets.
const EVIDENCE: &str = "evidence";

/// Size up to which a conversion is a part of the memory that its response has anyway, in bytes.
const UNRESERVED_BYTES: usize = 64 * 1024;

impl Jobs {
    /// Converts the offsets in results to a unit, one result after the other. `memory`, which is empty, is that of the input whose
    /// result is converted.
    ///
    /// # Errors
    /// `overloaded` or `internal` if the store fails; `overloaded` or `payload_too_large` if there is no memory for an input.
    pub async fn convert_offsets(
        &self,
        job: JobKey,
        events: &mut [Event],
        unit: OffsetUnit,
        memory: &mut WaitingMemory,
    ) -> Result<(), Error> {
        if unit == OffsetUnit::CodePoint {
            return Ok(());
        }
        for event in events {
            if let Some((index, _)) = event.item {
                let body = &mut event.body;
                self.convert_result(job, index, body, unit, memory).await?;
            }
        }
        Ok(())
    }

    /// Converts the offsets in a page of events to a unit, as [`Jobs::convert_offsets`] does.
    ///
    /// # Errors
    /// Errors of [`Jobs::convert_offsets`].
    pub async fn convert_page(
        &self,
        job: JobKey,
        page: EventPage,
        unit: OffsetUnit,
        memory: &mut WaitingMemory,
    ) -> Result<EventPage, Error> {
        if unit == OffsetUnit::CodePoint {
            return Ok(page);
        }
        let mut events = page.events().to_vec();
        self.convert_offsets(job, &mut events, unit, memory).await?;
        Ok(page.with_events(Arc::from(events)))
    }

    async fn convert_result(
        &self,
        job: JobKey,
        index: u32,
        body: &mut Vec<u8>,
        unit: OffsetUnit,
        memory: &mut WaitingMemory,
    ) -> Result<(), Error> {
        let (context, caller) = (&self.0, memory.caller());
        let (is_long, bytes) = (is_long_to_parse(body), body.len());
        let recorded = std::mem::take(body);
        let parse = move || (SpannedResult::parse(&recorded), recorded);
        let result;
        (result, *body) = work_on(is_long.then_some(Piece { caller, bytes }), parse).await?;
        let Some(result) = result else { return Ok(()) };

        let turn = context.read_turn(caller).await;
        let size = context.store.input_size(job, index).await;
        drop(turn);
        let Some(size) = size.map_err(|error| store_problem(&error))? else {
            return Ok(());
        };
        let needed = conversion_room(size, body.len());
        // A larger one, beside a page of a response, could never be reserved.
        let room = needed.min(memory.reservation_mut().max_bytes() / 4);
        let reserved = memory.reserve(room).await;
        reserved.map_err(|refused| no_memory(&refused))?;
        // Moved into the work, which goes on if the client leaves.
        let mut held = memory.split(room);
        held.record(needed);

        let turn = context.read_turn(caller).await;
        let input = context.store.input(job, index).await;
        drop(turn);
        let Some(input) = input.map_err(|error| store_problem(&error))? else {
            return Ok(());
        };
        let is_long = is_long || is_long_to_parse(&input);
        let bytes = bytes.saturating_add(input.len());
        let convert = move || {
            let converted = result.convert(&input, unit);
            drop((input, held));
            converted
        };
        let converted = work_on(is_long.then_some(Piece { caller, bytes }), convert).await?;
        if let Some(converted) = converted {
            *body = converted;
        }
        Ok(())
    }
}

/// Returns the memory of a conversion beside that of its response, in bytes: the input and its text, and the parts of the result.
const fn conversion_room(input_bytes: usize, result_bytes: usize) -> usize {
    let bytes = input_bytes.saturating_mul(2).saturating_add(result_bytes);
    bytes.saturating_sub(UNRESERVED_BYTES)
}

/// Does work on a result: on this thread if it is short, else as long work, a `piece`.
async fn work_on<T: Send + 'static>(
    piece: Option<Piece>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    spawn_if_long(piece, work).await.map_err(|error| {
        tracing::error!(%error, "the conversion of offsets panicked; this is a bug");
        let detail =
            "a bug in the server prevented the conversion of offsets; ask for `offset_unit=code_point`";
        Error::new(Code::Internal, detail)
    })
}

/// Returns the error of a conversion for which there is no memory.
fn no_memory(refused: &NoMemory) -> Error {
    let problem = |code, advice| {
        let detail = format!(
            "there is no memory to convert offsets: {refused} (`limits.max_memory_bytes`); {advice}, or ask for `offset_unit=code_point`, which needs no conversion"
        );
        Error::new(code, detail)
    };
    match refused {
        NoMemory::TooLarge { .. } => {
            problem(Code::PayloadTooLarge, "set a larger memory for the server")
        }
        NoMemory::Full | NoMemory::ShareUsedUp => {
            let advice = "read or close the responses that are open, and retry in 1 s";
            problem(Code::Overloaded, advice).retry_after(RETRY_SOON)
        }
    }
}

/// Recorded result whose evidence has spans.
struct SpannedResult {
    members: IndexMap<String, Box<RawValue>>,
    evidence: Vec<LeafEvidence>,
}

impl SpannedResult {
    /// Parses a result; `None` if it has no spans.
    fn parse(body: &[u8]) -> Option<Self> {
        let members: IndexMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let evidence: Vec<LeafEvidence> =
            serde_json::from_str(members.get(EVIDENCE)?.get()).ok()?;
        let has_spans = evidence.iter().any(|leaf| !leaf.spans.is_empty());
        has_spans.then_some(Self { members, evidence })
    }

    /// Returns the result with its offsets in another unit; `None` if the input cannot be read.
    fn convert(mut self, input: &[u8], unit: OffsetUnit) -> Option<Vec<u8>> {
        let text = serde_json::from_slice::<Item>(input).ok()?.content.0;
        convert_offsets(&text, OffsetUnit::CodePoint, unit, &mut self.evidence);
        let evidence = serde_json::value::to_raw_value(&self.evidence).ok()?;
        self.members.insert(EVIDENCE.to_owned(), evidence);
        Some(to_json(&self.members))
    }
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;
    use std::time::Duration;

    use futures_util::FutureExt;
    use serde_json::{Value, json};
    use throttle::{CallerId, MemoryLedger, MemoryUse};
    use tokio::time::timeout;

    use super::super::store::ItemStatus;
    use super::super::test_context::{TestContext, store_inputs};
    use super::*;
    use crate::long_work::take_all_permits;

    /// Longer than anything here takes.
    const LIMIT: Duration = Duration::from_secs(30);
    /// Longer than what is not to be waited for takes.
    const SHORT: Duration = Duration::from_millis(300);
    const CALLER: CallerId = CallerId(41);

    fn result_with(spans: &Value) -> Event {
        let leaf = json!({"pointer": "/a", "status": "exact", "spans": spans, "text": "é"});
        let body = json!({"index": 0, "evidence": [leaf]});
        Event {
            number: 1,
            item: Some((0, ItemStatus::Succeeded)),
            body: body.to_string().into_bytes(),
        }
    }

    async fn store_input(jobs: &Jobs, input: &str) -> JobKey {
        let inputs = vec![Value::from(input).to_string().into_bytes()];
        store_inputs(jobs.0.store.as_ref(), "job_1", inputs).await
    }

    fn memory_of(jobs: &Jobs, max_wait: Duration) -> WaitingMemory {
        let ledger = jobs.0.extractor.limits().memory();
        WaitingMemory::new(ledger.empty(CALLER, MemoryUse::Responses), max_wait)
    }

    fn start_in(event: &Event) -> Value {
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        body["evidence"][0]["spans"][0]["start"].clone()
    }

    #[tokio::test]
    async fn an_input_is_read_only_for_spans_and_in_a_turn_of_the_caller() {
        let test = TestContext::new("offset-turns");
        let jobs = Jobs(Arc::clone(&test.context));
        let job = store_input(&jobs, "ééé").await;
        let mut memory = memory_of(&jobs, Duration::ZERO);
        let turns: Vec<_> = from_fn(|| jobs.0.read_turn(CALLER).now_or_never()).collect();
        let spans = json!([{"start": 1, "end": 2}]);
        for (spans, unit) in [
            (json!([]), OffsetUnit::Byte),
            (spans.clone(), OffsetUnit::CodePoint),
        ] {
            let mut events = [result_with(&spans)];
            let converted = jobs.convert_offsets(job, &mut events, unit, &mut memory);
            timeout(LIMIT, converted).await.unwrap().unwrap();
            assert_eq!(events, [result_with(&spans)], "nothing is read");
        }
        let mut events = [result_with(&spans)];
        let converted = jobs.convert_offsets(job, &mut events, OffsetUnit::Byte, &mut memory);
        let mut converted = Box::pin(converted);
        let early = timeout(SHORT, &mut converted).await;
        assert!(early.is_err(), "all turns of the caller are taken");
        drop(turns);
        timeout(LIMIT, converted).await.unwrap().unwrap();
        assert_eq!(start_in(&events[0]), 2);
    }

    #[tokio::test]
    async fn a_long_input_is_counted_and_converted_as_long_work() {
        let test = TestContext::new("offset-memory");
        let jobs = Jobs(Arc::clone(&test.context));
        let input = "é".repeat(200_000);
        let job = store_input(&jobs, &input).await;
        let ledger = jobs.0.extractor.limits().memory();
        let held = || ledger.snapshot().by_caller.get(&CALLER).copied();
        let recorded = result_with(&json!([{"start": 1, "end": 2}]));
        let mut memory = memory_of(&jobs, Duration::ZERO);

        let free = ledger.snapshot().max_bytes - ledger.snapshot().held;
        let others = ledger.record(CallerId(42), MemoryUse::Inputs, free - input.len());
        let mut events = [recorded.clone()];
        let refused = jobs.convert_offsets(job, &mut events, OffsetUnit::Byte, &mut memory);
        let refused = timeout(LIMIT, refused).await.unwrap().unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after, held()),
            (Code::Overloaded, Some(RETRY_SOON), None)
        );
        drop(others);

        let release = take_all_permits(CALLER);
        let mut events = [recorded.clone(), recorded];
        let converted = jobs.convert_offsets(job, &mut events, OffsetUnit::Byte, &mut memory);
        let mut converted = Box::pin(converted);
        let is_held = async {
            while held().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = &mut converted => panic!("it has no turn"),
            is_held = timeout(LIMIT, is_held) => is_held.unwrap(),
        }
        assert!(
            timeout(SHORT, &mut converted).await.is_err(),
            "it has no turn"
        );
        let of_one = held().unwrap();
        assert!(
            (2 * input.len() - UNRESERVED_BYTES..3 * input.len()).contains(&of_one),
            "{of_one} bytes for one of two results"
        );
        drop(release);
        timeout(LIMIT, converted).await.unwrap().unwrap();
        assert_eq!(events.each_ref().map(start_in), [2, 2]);
        assert_eq!(held(), None);
    }

    #[tokio::test]
    async fn a_conversion_that_takes_more_than_its_caller_may_have_reserves_a_part() {
        let test = TestContext::new("offset-room");
        let jobs = Jobs(Arc::clone(&test.context));
        let input = "é".repeat(200_000);
        let job = store_input(&jobs, &input).await;
        let ledger = MemoryLedger::new(input.len(), input.len());
        let memory = ledger.empty(CALLER, MemoryUse::Responses);
        let mut memory = WaitingMemory::new(memory, Duration::ZERO);
        let mut events = [result_with(&json!([{"start": 1, "end": 2}]))];
        let converted = jobs.convert_offsets(job, &mut events, OffsetUnit::Byte, &mut memory);
        timeout(LIMIT, converted).await.unwrap().unwrap();
        assert_eq!(start_in(&events[0]), 2);
    }
}
