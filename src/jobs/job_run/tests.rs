//! Runs whose store does not write, or lacks inputs.

use rusqlite::Connection;
use tokio::time::timeout;

use super::super::store::{FinishedItem, ItemStatus};
use super::super::test_context::{TestContext, store_file, store_queued};
use super::*;
use crate::types::Usage;

#[tokio::test]
async fn the_end_of_a_run_waits_for_the_store_unless_the_server_drains() {
    let name = "stuck-store";
    let test = TestContext::new(name);
    let context = &test.context;
    let job = store_queued(context.store.as_ref(), "job_1", 1).await;
    let found = context.store.job_by_key(job).await.unwrap().unwrap();
    let mut run = JobRun {
        context,
        progress: context.progress_of(&found),
        signals: RunSignals::new(&context.shutdown),
        record: RecordSpec::default(),
        job: found,
    };
    let mut recorder = ResultRecorder::new(context, job);
    recorder.add(FinishedItem {
        index: 0,
        status: ItemStatus::Succeeded,
        body: b"{}".to_vec(),
        usage: Usage::default(),
        grounding: None,
    });
    // While another connection holds the lock, the write waits.
    let other = Connection::open(store_file(name)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    tokio::time::pause();
    let limit = STUCK_STORE_TIMEOUT * (2 * MAX_STUCK_WAITS);
    let waited = timeout(limit, run.finish_recording(&mut recorder)).await;
    assert!(waited.is_err(), "it is not recorded");
    context.shutdown.draining.cancel();
    let waited = timeout(limit, run.finish_recording(&mut recorder)).await;
    assert_eq!(waited.expect("it waits no longer"), Ok(false));
    tokio::time::resume();
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(run.finish_recording(&mut recorder).await, Ok(true));
    assert_eq!(run.job.counts.succeeded, 1);
}

#[tokio::test]
async fn a_job_that_lacks_inputs_does_not_complete() {
    let name = "missing-inputs";
    let test = TestContext::new(name);
    let context = &test.context;
    let job = store_queued(context.store.as_ref(), "job_1", 0).await;
    let file = Connection::open(store_file(name)).unwrap();
    let sql = "UPDATE jobs SET total = 1 WHERE key = ?1";
    file.execute(sql, [job.0]).unwrap();
    let signals = RunSignals::new(&context.shutdown);
    let run = run_job(context, job, RunKind::Items, signals).await;
    assert!(matches!(run, Err(StoreError::Other(_))), "{run:?}");
    let found = context.store.job_by_key(job).await.unwrap().unwrap();
    assert_eq!(found.status, Status::Running);
}
