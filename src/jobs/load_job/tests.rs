use std::future::{pending, ready};
use std::pin::pin;

use rusqlite::Connection;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use throttle::{CallerId, MemoryLedger};
use tokio::time::timeout;

use super::super::store::{CreateOutcome, NewJob};
use super::super::test_context::{MEMORY, TestContext, store_file};
use super::*;
use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};
use crate::types::{SchemaSource, Spec};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// Numbers in the example of a spec.
const ZEROS: usize = 20_000;
/// Memory that they take at least.
const VALUES: usize = ZEROS * size_of::<serde_json::Value>();

fn dense_spec() -> String {
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
    });
    let example = json!({"input": "many zeros", "output": {"a": vec![0; ZEROS]}});
    let batch = json!({"schema": schema, "examples": [example]});
    let spec = JobSpec {
        batch: to_raw_value(&batch).unwrap(),
        request_id: "req_1".to_owned(),
        traceparent: None,
        tracestate: None,
        webhook: None,
    };
    serde_json::to_string(&spec).unwrap()
}

fn size_of_spec(json: &str) -> usize {
    json.len() + parsed_size(json.as_bytes())
}

async fn store_jobs(context: &JobContext, jobs: usize) -> Vec<Job> {
    let mut stored = Vec::new();
    for number in 0..jobs {
        let created = context.store.create_uploading(NewJob {
            id: format!("job_{number}"),
            caller: String::new(),
            spec: dense_spec(),
            metadata: None,
            created_at: 0,
            idempotency: None,
        });
        let CreateOutcome::New(job) = created.await.unwrap() else {
            panic!("the job is new");
        };
        let input = vec![b"\"a text\"".to_vec()];
        context.store.add_inputs(job, 0, input).await.unwrap();
        stored.push(context.store.finalize(job, 1, [0; 32]).await.unwrap());
    }
    stored
}

/// It would be prepared with the rights of those who have no key: all models.
#[tokio::test]
async fn a_job_of_a_removed_caller_is_not_prepared() {
    let test = TestContext::new("removed-caller");
    let context = &*test.context;
    let job = store_jobs(context, 1).await.remove(0);
    let of_removed = Job {
        caller: "ann".to_owned(),
        ..job
    };
    let loaded = load_job(context, &of_removed).await.unwrap();
    assert!(loaded.retry_after().is_some());
}

/// Jobs that start together, as after a restart, are parsed as far as there is room for their values.
#[tokio::test]
async fn the_values_of_jobs_are_counted_and_wait_for_room() {
    let test = TestContext::new("dense");
    let context = &*test.context;
    let jobs = store_jobs(context, 3).await;
    let ledger = context.extractor.limits().memory();
    let held = || ledger.snapshot().held;
    // Room for one of them, its schema, and a page of inputs.
    let room = size_of_spec(&dense_spec()) + INPUT_ROOM + (1 << 19);
    let others = MEMORY - held() - room;
    let _others = ledger.record(CallerId::default(), MemoryUse::Responses, others);

    let before = held();
    let first = load_when_possible(context, &jobs[0], pending());
    let first = timeout(LIMIT, first).await.unwrap().unwrap();
    assert_eq!(first.request.as_ref().err(), None);
    assert!(held() >= before + VALUES, "{}", held() - before);
    assert!(held() + INPUT_ROOM <= MEMORY, "inputs have room");

    let before = held();
    let mut second = pin!(load_when_possible(context, &jobs[1], pending()));
    let waited = timeout(Duration::from_millis(500), second.as_mut()).await;
    assert!(waited.is_err(), "there is no room for its values");
    assert!(held() < before + VALUES, "what waits holds no values");
    // A job that is cancelled meanwhile, or a server that drains.
    let stopped = load_when_possible(context, &jobs[2], ready(()));
    let stopped = timeout(LIMIT, stopped).await.unwrap().unwrap();
    assert!(stopped.retry_after().is_some());
    assert_eq!(stopped.record.request_id, "req_1");

    drop(first);
    let second = timeout(LIMIT, second).await.unwrap().unwrap();
    assert_eq!(second.request.as_ref().err(), None);
    assert_eq!(second.record.request_id, "req_1");
    drop(second);
    assert!(held() < before, "the values are returned");
}

/// Specs of earlier versions may be long, and all unfinished jobs start together.
#[tokio::test]
async fn a_spec_is_not_read_before_there_is_memory_for_its_text() {
    let name = "unread-spec";
    let test = TestContext::new(name);
    let context = &*test.context;
    let job = store_jobs(context, 1).await.remove(0);
    let file = Connection::open(store_file(name)).unwrap();
    // The stored spec is not UTF-8, so that each read of it fails.
    let hex = "61".repeat(100);
    let sql = format!("UPDATE specs SET body = CAST(x'{hex}ff' AS TEXT)");
    file.execute(&sql, []).unwrap();
    let size = context.store.spec_size(job.key).await.unwrap();
    assert_eq!(size, Some(101));
    let ledger = context.extractor.limits().memory();
    let room = READ_COPIES * 101 - 1;
    let others = MEMORY - ledger.snapshot().held - room;
    let others = ledger.record(CallerId::default(), MemoryUse::Responses, others);
    let loaded = load_job(context, &job).await.unwrap();
    assert_eq!(loaded.retry_after(), Some(Duration::ZERO));
    drop(others);
    assert!(load_job(context, &job).await.is_err(), "it is read");
}

/// Cancellations and deliveries are not refused, so few of them read a spec at a time.
#[tokio::test]
async fn a_spec_that_is_read_for_an_end_is_counted_and_has_a_turn() {
    let test = TestContext::new("spec-of-end");
    let context = &*test.context;
    let job = store_jobs(context, 1).await.remove(0);
    let ledger = context.extractor.limits().memory();
    let held = || ledger.snapshot().held;
    let full = ledger.record(CallerId::default(), MemoryUse::Responses, MEMORY - held());
    let before = held();
    let parse = |json: &str| (json.len(), held() - before);
    let turn = context.spec_turn(CallerId::default(), 1).await;
    let mut read = pin!(load_for_end(context, job.key, "", parse));
    let early = timeout(Duration::from_millis(300), read.as_mut()).await;
    assert!(early.is_err(), "another spec is being read");
    assert_eq!(held(), before);
    drop(turn);
    let (bytes, meanwhile) = timeout(LIMIT, read).await.unwrap().unwrap();
    assert_eq!(
        (bytes, meanwhile),
        (dense_spec().len(), READ_COPIES * bytes)
    );
    drop(full);
}

#[test]
fn a_spec_without_memory_waits_unless_it_can_never_fit() {
    let json = dense_spec();
    let needed = size_of_spec(&json);
    let caller = CallerId::default();
    let parse = |ledger: &MemoryLedger| {
        ParsedSpec::parse(json.clone(), ledger.empty(caller, MemoryUse::Inputs))
    };
    let of_size = |bytes| MemoryLedger::new(bytes, bytes);
    // The room for inputs is left out if the caller can never have it.
    let parsed = parse(&of_size(needed));
    assert!(parsed.request.is_ok());
    assert_eq!(parsed.needed_bytes, needed);

    let parsed = parse(&of_size(needed - 1));
    assert_eq!(parsed.record.request_id, "req_1");
    let error = parsed.request.err().unwrap();
    assert_eq!(
        (error.code, error.retry_after),
        (Code::PayloadTooLarge, None)
    );

    let ledger = of_size(2 * needed + INPUT_ROOM);
    let others = ledger.record(caller, MemoryUse::Responses, needed + 1);
    let parsed = parse(&ledger);
    assert_eq!(parsed.needed_bytes, needed + INPUT_ROOM);
    let error = parsed.request.err().unwrap();
    assert_eq!(
        (error.code, error.retry_after),
        (Code::Overloaded, Some(Duration::ZERO))
    );
    assert_eq!(ledger.snapshot().held, others.bytes());
}

/// The whole prompt is hashed, and its tokens are estimated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_prompt_is_prepared_in_its_turn_and_a_short_one_at_once() {
    let jobs = TestContext::new("long_prompts");
    let caller = CallerId::default();
    let prepare = |instructions: String| {
        let schema = RawValue::from_string(r#"{"type": "object"}"#.to_owned()).unwrap();
        let mut spec = Spec::default();
        spec.schema = Some(SchemaSource::Inline(schema));
        spec.instructions = Some(instructions);
        let extractor = &jobs.context.extractor;
        Box::pin(extractor.prepare(caller, spec, RequestClass::Single, None))
    };
    let release = take_all_permits(caller);
    let short = timeout(LIMIT, prepare("short".to_owned())).await;
    short.unwrap().unwrap();
    let mut long = prepare("x".repeat(LONG_TEXT_BYTES));
    let early = timeout(Duration::from_millis(300), &mut long).await;
    assert!(early.is_err(), "it has no turn");
    drop(release);
    timeout(LIMIT, long).await.unwrap().unwrap();
}
