//! Uploads of jobs: their chunks, and their idempotency keys.

use std::pin::pin;

use futures_util::{FutureExt, stream};
use serde_json::value::to_raw_value;
use throttle::{MemoryLedger, MemoryUse};

use super::super::store::JobEnd;
use super::super::test_context::{TestContext, end_queued, job_end};
use super::*;
use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};

const INPUT_BYTES: usize = 1000;
const LIMIT: Duration = Duration::from_secs(30);

fn input_of(bytes: usize) -> Input {
    Input {
        index: 0,
        id: None,
        metadata: None,
        content: Ok("x".repeat(bytes)),
        memory: None,
    }
}

/// Returns as many inputs of this size, which need not be waited for.
fn complete_body(inputs: usize, bytes: usize) -> impl Stream<Item = Result<Input, Error>> + Unpin {
    stream::iter(0..inputs).map(move |_| Ok(input_of(bytes)))
}

fn chunks<S>(inputs: S) -> Chunks<S> {
    Chunks {
        inputs,
        caller: CallerId(9),
        digest: Sha256::new(),
        total: 0,
    }
}

fn creation(id: &str) -> Creation {
    Creation {
        id: id.to_owned(),
        caller: CallerId::default(),
        batch: to_raw_value("").unwrap(),
        sent_fields: String::new(),
        metadata: None,
        request_id: String::new(),
        trace_context: None,
        webhook: None,
        idempotency_key: Some("a key".to_owned()),
        held: Arc::new(()),
    }
}

/// Returns the chunks of an upload that sends this many inputs, and then nothing more.
fn slow_upload(
    ledger: &MemoryLedger,
    inputs: usize,
) -> Chunks<impl Stream<Item = Result<Input, Error>> + Unpin> {
    let ledger = ledger.clone();
    let sent = stream::iter(0..inputs).map(move |_| {
        let memory = ledger.empty(CallerId::default(), MemoryUse::Inputs);
        Ok(Input {
            memory: Some(memory),
            ..input_of(INPUT_BYTES)
        })
    });
    chunks(Box::pin(sent.chain(stream::pending())))
}

#[tokio::test]
async fn the_inputs_of_an_upload_hold_memory_until_they_are_written() {
    let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
    let mut upload = slow_upload(&ledger, 3);
    let chunk = upload.next_chunk().await.unwrap();
    assert_eq!(chunk.inputs.len(), 3);
    assert!(ledger.snapshot().held >= 3 * INPUT_BYTES);
    drop(chunk);
    assert_eq!(ledger.snapshot().held, 0);
}

#[tokio::test]
async fn inputs_are_written_at_once_if_there_is_no_room_for_more() {
    let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
    let _chunk = slow_upload(&ledger, 1).next_chunk().await.unwrap();
    let of_one = ledger.snapshot().held;
    let ledger = MemoryLedger::new(2 * of_one - 1, usize::MAX);
    let mut upload = slow_upload(&ledger, 3);
    for inputs in [2, 1] {
        let chunk = upload.next_chunk().await.unwrap();
        assert_eq!(chunk.inputs.len(), inputs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_input_waits_for_its_turn_to_be_encoded() {
    let mut short = chunks(complete_body(1, INPUT_BYTES));
    let mut long = chunks(complete_body(1, LONG_TEXT_BYTES));
    let release = take_all_permits(long.caller);
    assert!(short.next_chunk().now_or_never().is_some());
    let mut chunk = pin!(long.next_chunk());
    assert!(chunk.as_mut().now_or_never().is_none(), "it has no turn");
    drop(release);
    let chunk = tokio::time::timeout(LIMIT, chunk).await.unwrap();
    assert_eq!(chunk.unwrap().inputs.len(), 1);
}

#[tokio::test]
async fn others_have_their_turn_between_the_chunks_of_a_replay() {
    let test = TestContext::new("replay");
    let inputs = || complete_body(3, MAX_CHUNK_BYTES);
    let created = create_job(&test.context, creation("job_1"), inputs()).await;
    let again = Chunks {
        digest: digest_of_fields(&creation("job_2")),
        ..chunks(inputs())
    };
    let mut replay = pin!(replay(created.unwrap().job, again));
    for _ in 0..3 {
        assert!(replay.as_mut().now_or_never().is_none(), "it yields");
    }
    assert!(replay.await.unwrap().is_replay);
}

#[tokio::test]
async fn a_repeated_request_keeps_no_other_metadata_than_it_has_sent() {
    let test = TestContext::new("replay-metadata");
    let context = &test.context;
    let of_job = || Creation {
        metadata: serde_json::from_str(r#"{"k": "of the job"}"#).unwrap(),
        ..creation("job_1")
    };
    let inputs = || complete_body(1, INPUT_BYTES);
    let created = create_job(context, of_job(), inputs()).await.unwrap();
    assert_eq!(created.job.metadata, of_job().metadata);
    let other = new_job(context, creation("job_2"));
    let held: Held = Arc::new(());
    let Begun::Existing(existing) = begin(context, other, &held).await.unwrap() else {
        panic!("the key is that of a job");
    };
    assert_eq!(existing.id, "job_1");
    assert_eq!(existing.metadata, None);
    let again = create_job(context, of_job(), inputs()).await.unwrap();
    assert!(again.is_replay);
    assert_eq!(again.job.metadata, of_job().metadata);
}

#[tokio::test]
async fn the_key_of_a_broken_upload_is_free_while_many_jobs_are_removed() {
    let test = TestContext::new("broken-upload");
    let context = &test.context;
    let removals = (1_000..10_000).filter_map(|job| {
        let job = JobKey(job);
        context.hidden.begin_removal(job, "")
    });
    let _removals: Vec<_> = removals.collect();
    let input = || Ok(input_of(INPUT_BYTES));
    let broken = Err(Error::invalid("", "the upload breaks off"));
    let inputs = stream::iter([input(), broken]);
    let refused = create_job(context, creation("job_1"), inputs).await;
    refused.expect_err("the upload broke off");
    let inputs = stream::iter([input()]);
    let created = create_job(context, creation("job_2"), inputs).await;
    assert_eq!(created.expect("the key is free").job.id, "job_2");
}

/// It is invisible, though it may not be marked yet.
#[tokio::test]
async fn the_key_of_a_job_that_has_expired_is_free() {
    let test = TestContext::new("expired-key");
    let context = &test.context;
    let create = |id| create_job(context, creation(id), complete_body(1, INPUT_BYTES));
    let first = create("job_1").await.unwrap().job;
    assert!(create("job_2").await.unwrap().is_replay);
    let end = JobEnd {
        expires_at: 1,
        ..job_end(Status::Cancelled)
    };
    end_queued(context.store.as_ref(), first.key, end).await;
    let created = create("job_3").await.unwrap();
    assert_eq!(
        (created.job.id.as_str(), created.is_replay),
        ("job_3", false)
    );
    assert!(create("job_4").await.unwrap().is_replay);
}

#[tokio::test]
async fn a_request_waits_a_moment_for_the_end_of_an_upload_with_its_key() {
    let test = TestContext::new("key-wait");
    let context = &test.context;
    let slow = stream::pending::<Result<Input, Error>>();
    let mut slow = Box::pin(create_job(context, creation("job_1"), slow));
    let begun = async {
        while context.store.hidden().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = slow.as_mut() => panic!("the upload does not end"),
        () = begun => {}
    }
    let inputs = complete_body(1, INPUT_BYTES);
    let created = create_job(context, creation("job_2"), inputs);
    let departure = async {
        tokio::time::sleep(KEY_POLL_INTERVAL * 2).await;
        drop(slow);
    };
    let (created, ()) = tokio::join!(created, departure);
    assert_eq!(created.expect("the key is free").job.id, "job_2");
}
