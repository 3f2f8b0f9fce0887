use super::*;
use crate::jobs::store::{CrashCount, Idempotency, ItemCounts};
use crate::types::Usage;

/// A folder of its own, gone with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("extractd-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("extractd.db")
    }

    fn open(&self) -> Sqlite {
        Sqlite::open(&self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn new_job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        caller: "ann".to_owned(),
        spec: "{}".to_owned(),
        metadata: Some([("k".to_owned(), "v".to_owned())].into()),
        created_at: 1_000,
        idempotency: None,
    }
}

async fn made(store: &Sqlite, id: &str, items: u32) -> JobKey {
    let key = begun(store, new_job(id)).await.unwrap();
    store
        .add_inputs(
            key,
            0,
            (0..items)
                .map(|index| index.to_string().into_bytes())
                .collect(),
        )
        .await
        .unwrap();
    store.finalize(key, items, DIGEST).await.unwrap();
    key
}

const DIGEST: Digest = [7; 32];

/// The new job, or the id of the one that is there.
async fn begun(store: &Sqlite, job: NewJob) -> Result<JobKey, String> {
    match store.create_uploading(job).await.unwrap() {
        BeginOutcome::New(key) => Ok(key),
        BeginOutcome::Known(job) => Err(job.id),
    }
}

fn end(status: Status) -> JobEnd {
    JobEnd {
        status,
        at: 3_000,
        expires_at: 9_000,
        body: b"{}".to_vec(),
        error: None,
        webhook: Some(b"told".to_vec()),
    }
}

fn done(index: u32, status: ItemStatus) -> FinishedItem {
    FinishedItem {
        index,
        status,
        body: format!("r{index}").into_bytes(),
        usage: Usage::new(10, 5),
    }
}

fn numbers(events: &[Event]) -> Vec<(u32, Option<u32>)> {
    events
        .iter()
        .map(|event| (event.number, event.item.map(|(index, _)| index)))
        .collect()
}

#[tokio::test]
async fn a_job_is_worked_off_and_its_events_have_no_gap() {
    let folder = Folder::new("whole");
    let store = folder.open();
    let job = made(&store, "job_a", 4).await;
    assert!(
        store
            .transition(job, &[Status::Queued], Status::Running, 2_000)
            .await
            .unwrap()
    );
    assert!(
        !store
            .transition(job, &[Status::Queued], Status::Running, 2_000)
            .await
            .unwrap(),
        "it runs"
    );
    assert_eq!(store.spec(job).await.unwrap().as_deref(), Some("{}"));
    let pending = store.pending(job, 0, 10).await.unwrap();
    assert_eq!(
        pending
            .iter()
            .map(|item| item.input.as_slice())
            .collect::<Vec<_>>(),
        [b"0", b"1", b"2", b"3"]
    );
    store.lease_until(job, 4).await.unwrap();
    let last = |items| async { store.record_results(job, items).await.unwrap().last_event };
    assert_eq!(
        last(vec![
            done(2, ItemStatus::Succeeded),
            done(0, ItemStatus::Failed)
        ])
        .await,
        2
    );
    assert_eq!(
        last(vec![
            done(2, ItemStatus::Failed),
            done(3, ItemStatus::Succeeded)
        ])
        .await,
        3
    );
    let left = store.pending(job, 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.index).collect::<Vec<_>>(), [1]);
    let by = async |order, only, after| {
        numbers(&store.results(job, order, only, after, 10).await.unwrap())
    };
    assert_eq!(
        by(ResultOrder::Input, None, None).await,
        [(2, Some(0))],
        "before the first that is not done"
    );
    assert_eq!(
        by(ResultOrder::Completion, None, None).await,
        [(1, Some(2)), (2, Some(0)), (3, Some(3))]
    );
    assert_eq!(
        by(ResultOrder::Completion, Some(ItemStatus::Failed), None).await,
        [(2, Some(0))]
    );
    store
        .record_results(job, vec![done(1, ItemStatus::Invalid)])
        .await
        .unwrap();
    assert_eq!(
        store
            .complete(job, Status::Cancelling, end(Status::Cancelled))
            .await
            .unwrap(),
        None,
        "it runs"
    );
    assert!(
        store
            .complete(job, Status::Running, end(Status::Completed))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        numbers(&store.events(job, 1, 10).await.unwrap()),
        [(2, Some(0)), (3, Some(3)), (4, Some(1)), (5, None)]
    );
    assert_eq!(
        by(ResultOrder::Input, None, Some(0)).await,
        [(4, Some(1)), (1, Some(2)), (3, Some(3))]
    );
    let found = store.job("job_a".to_owned()).await.unwrap().unwrap();
    assert_eq!(
        found.counts,
        ItemCounts {
            total: 4,
            succeeded: 2,
            failed: 1,
            invalid: 1,
            cancelled: 0
        }
    );
    assert_eq!(
        (found.status, found.last_event, found.usage.total_tokens),
        (Status::Completed, 5, 60)
    );
    assert_eq!(
        (found.started_at, found.finished_at, found.digest),
        (Some(2_000), Some(3_000), Some(DIGEST))
    );
    assert_eq!(store.due_webhooks(2_999).await.unwrap(), []);
    assert_eq!(
        store.due_webhooks(3_000).await.unwrap(),
        [PendingDelivery {
            job,
            event: 5,
            body: b"told".to_vec(),
            tries: 0
        }]
    );
    let due = store.due_webhooks(3_000).await.unwrap().remove(0);
    store.record_delivery(&due, Some(5_000)).await.unwrap();
    assert_eq!(store.due_webhooks(4_999).await.unwrap(), []);
    assert_eq!(store.due_webhooks(5_000).await.unwrap()[0].tries, 1);
    assert_eq!(store.expired(8_999).await.unwrap(), []);
    assert_eq!(store.expired(9_000).await.unwrap(), [job]);
    store.remove(job).await.unwrap();
    assert_eq!(store.jobs("ann".to_owned(), None, 10).await.unwrap(), []);
    assert_eq!(store.events(job, 0, 10).await.unwrap(), []);
    assert_eq!(store.due_webhooks(9_000).await.unwrap(), []);
    assert!(store.vacuum_step().await.unwrap());
    assert_eq!(
        std::fs::metadata(folder.file().with_extension("db-wal"))
            .unwrap()
            .len(),
        0,
        "nothing is left in the log"
    );
}

#[tokio::test]
async fn what_did_not_succeed_runs_again_and_has_its_new_result() {
    let folder = Folder::new("retry");
    let store = folder.open();
    let job = made(&store, "job_a", 3).await;
    store
        .transition(job, &[Status::Queued], Status::Running, 2_000)
        .await
        .unwrap();
    assert_eq!(store.requeue_failed(job).await.unwrap(), None, "it runs");
    let results = [
        ItemStatus::Succeeded,
        ItemStatus::Failed,
        ItemStatus::Cancelled,
    ];
    store
        .record_results(
            job,
            (0..)
                .zip(results)
                .map(|(index, status)| done(index, status))
                .collect(),
        )
        .await
        .unwrap();
    store
        .complete(job, Status::Running, end(Status::Completed))
        .await
        .unwrap();
    let open = store.requeue_failed(job).await.unwrap().unwrap();
    assert_eq!(
        (open.status, open.counts.ended(), open.last_event),
        (Status::Queued, 1, 4)
    );
    assert_eq!(
        store
            .pending(job, 0, 10)
            .await
            .unwrap()
            .iter()
            .map(|item| item.index)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    store
        .record_results(
            job,
            vec![
                done(2, ItemStatus::Succeeded),
                done(1, ItemStatus::Succeeded),
            ],
        )
        .await
        .unwrap();
    let results = store
        .results(job, ResultOrder::Completion, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        numbers(&results),
        [(1, Some(0)), (5, Some(2)), (6, Some(1))]
    );
    let failed = store
        .results(
            job,
            ResultOrder::Completion,
            Some(ItemStatus::Failed),
            None,
            10,
        )
        .await
        .unwrap();
    assert_eq!(failed, [], "the old result is not the item's any more");
}

#[tokio::test]
async fn it_survives_the_process_and_an_upload_that_broke_off_does_not() {
    let folder = Folder::new("again");
    let store = folder.open();
    let job = made(&store, "job_a", 3).await;
    let broken = begun(&store, new_job("job_b")).await.unwrap();
    store
        .add_inputs(broken, 0, vec![b"x".to_vec()])
        .await
        .unwrap();
    assert_eq!(
        store.jobs("ann".to_owned(), None, 10).await.unwrap().len(),
        1,
        "it is not seen"
    );
    assert!(
        matches!(Sqlite::open(&folder.file()), Err(StoreError::Locked)),
        "it belongs to one process"
    );
    let secret = store.secret().await.unwrap();
    store
        .transition(job, &[Status::Queued], Status::Running, 2_000)
        .await
        .unwrap();
    store
        .record_results(job, vec![done(0, ItemStatus::Succeeded)])
        .await
        .unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(store.secret().await.unwrap(), secret);
    assert_eq!(
        store
            .unfinished()
            .await
            .unwrap()
            .iter()
            .map(|job| job.id.as_str())
            .collect::<Vec<_>>(),
        ["job_a"]
    );
    assert_eq!(
        store
            .pending(job, 0, 10)
            .await
            .unwrap()
            .iter()
            .map(|item| item.index)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(store.orphaned(), [broken]);
    store.remove(broken).await.unwrap();
    assert!(store.pending(broken, 0, 10).await.unwrap().is_empty());
    let next = begun(&store, new_job("job_c")).await.unwrap();
    assert!(next > broken, "a number is never used twice");
}

#[tokio::test]
async fn what_a_process_had_when_it_died_is_counted_until_one_lives() {
    let folder = Folder::new("lost");
    let mut store = folder.open();
    let job = made(&store, "job_a", 4).await;
    let lost = async |store: &Sqlite| {
        let pending = store.pending(job, 0, 10).await.unwrap();
        pending
            .iter()
            .map(|item| (item.index, item.lost.times, item.lost.alone))
            .collect::<Vec<_>>()
    };
    for times in 1..=2 {
        store.lease_until(job, 3).await.unwrap();
        store
            .record_results(job, vec![done(0, ItemStatus::Succeeded)])
            .await
            .unwrap();
        drop(store);
        store = folder.open();
        assert_eq!(
            lost(&store).await,
            [(1, times, 0), (2, times, 0), (3, 0, 0)]
        );
    }
    store.set_isolated(Some((job, 2))).await.unwrap();
    drop(store);
    store = folder.open();
    let suspects = store.crash_suspects(3).await.unwrap();
    assert_eq!(
        suspects
            .iter()
            .map(|(of, item)| (*of, item.index, item.lost))
            .collect::<Vec<_>>(),
        [(job, 2, CrashCount { times: 3, alone: 1 })]
    );
    drop(store);
    store = folder.open();
    assert_eq!(
        lost(&store).await,
        [(1, 0, 0), (2, 0, 0), (3, 0, 0)],
        "it died with nothing in hand, so not of these"
    );
    store.lease_until(job, 4).await.unwrap();
    store.mark_clean_shutdown().await.unwrap();
    drop(store);
    store = folder.open();
    assert_eq!(
        lost(&store).await,
        [(1, 0, 0), (2, 0, 0), (3, 0, 0)],
        "it ended, and did not die"
    );
    store.lease_until(job, 4).await.unwrap();
    drop(store);
    store = folder.open();
    store.mark_healthy().await.unwrap();
    assert_eq!(lost(&store).await, [(1, 0, 0), (2, 0, 0), (3, 0, 0)]);
}

#[tokio::test]
async fn a_full_disk_stops_nothing_for_good() {
    let folder = Folder::new("full");
    let store = Arc::new(folder.open());
    let job = made(&store, "job_a", 2).await;
    let is_full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let full = {
        let is_full = Arc::clone(&is_full);
        move |_: &Connection| {
            let full = || {
                rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                    None,
                )
            };
            if is_full.load(std::sync::atomic::Ordering::SeqCst) {
                Err(full())
            } else {
                Ok(())
            }
        }
    };
    let spawn = |store: &Arc<Sqlite>| {
        let (store, full) = (Arc::clone(store), full.clone());
        tokio::spawn(async move { store.write(RetryPolicy::Endless, full).await })
    };
    let waiting = spawn(&store);
    let refused = async {
        loop {
            // Until it is in one transaction with what fails.
            if let Err(error) = store.add_inputs(job, 100, vec![]).await {
                return error;
            }
        }
    };
    assert_eq!(
        refused.await,
        StoreError::Full,
        "who can do without does not wait"
    );
    assert_eq!(store.not_ready_reason(), Some(StoreError::Full));
    let recorded = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            store
                .record_results(job, vec![done(0, ItemStatus::Succeeded)])
                .await
        }
    });
    assert_eq!(
        store
            .job("job_a".to_owned())
            .await
            .unwrap()
            .unwrap()
            .counts
            .total,
        2,
        "it can still be read"
    );
    assert!(!recorded.is_finished());
    is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(recorded.await.unwrap().unwrap().counts.succeeded, 1);
    waiting.await.unwrap().unwrap();
    assert_eq!(store.not_ready_reason(), None);
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job() {
    let folder = Folder::new("idempotent");
    let store = folder.open();
    let with = |id: &str, caller: &str, at| NewJob {
        caller: caller.to_owned(),
        created_at: at,
        idempotency: Some(Idempotency {
            key: "K".to_owned(),
            until: at + 100,
        }),
        ..new_job(id)
    };
    let first = begun(&store, with("job_a", "ann", 1)).await.unwrap();
    store.finalize(first, 0, DIGEST).await.unwrap();
    assert_eq!(
        begun(&store, with("job_b", "ann", 50)).await,
        Err("job_a".to_owned())
    );
    assert!(
        begun(&store, with("job_c", "bob", 50)).await.is_ok(),
        "another caller's"
    );
    assert!(
        begun(&store, with("job_d", "ann", 101)).await.is_ok(),
        "its time is over"
    );
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused_with_the_reason() {
    let folder = Folder::new("refused");
    std::fs::write(
        folder.file(),
        b"this is no database, and long enough to be read as a header of one",
    )
    .unwrap();
    assert!(matches!(
        Sqlite::open(&folder.file()),
        Err(StoreError::Corrupt(_))
    ));
    std::fs::remove_file(folder.file()).unwrap();
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("CREATE TABLE other (a)")
        .unwrap();
    assert!(matches!(
        Sqlite::open(&folder.file()),
        Err(StoreError::Corrupt(_))
    ));
    std::fs::remove_file(folder.file()).unwrap();
    drop(folder.open());
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    assert_eq!(
        Sqlite::open(&folder.file()).unwrap_err(),
        StoreError::Newer {
            found: 99,
            known: migrations::LAYOUT
        }
    );
}

#[tokio::test]
async fn many_results_at_once_are_recorded_each_once() {
    const ITEMS: u32 = 2_000;
    let folder = Folder::new("many");
    let store = Arc::new(folder.open());
    let job = made(&store, "job_a", ITEMS).await;
    let mut writes = tokio::task::JoinSet::new();
    for index in 0..ITEMS {
        let store = Arc::clone(&store);
        writes.spawn(async move {
            store
                .record_results(job, vec![done(index, ItemStatus::Succeeded)])
                .await
                .unwrap()
        });
    }
    writes.join_all().await;
    let events = store.events(job, 0, ITEMS + 1).await.unwrap();
    assert!(
        events
            .iter()
            .zip(1..)
            .all(|(event, number)| event.number == number)
    );
    let mut items: Vec<_> = events.iter().map(|event| event.item.unwrap().0).collect();
    items.sort_unstable();
    assert!(items.into_iter().eq(0..ITEMS));
}

/// An error of SQLite with this extended code.
fn sqlite_error(extended_code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended_code), None)
}

#[test]
fn only_a_failed_write_is_a_full_disk() {
    use rusqlite::ffi;
    for full in [
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_SHMSIZE,
    ] {
        assert_eq!(
            migrations::store_error(&sqlite_error(full)),
            StoreError::Full,
            "{full}"
        );
    }
    let others = [
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_TRUNCATE,
    ];
    for other in others {
        let error = migrations::store_error(&sqlite_error(other));
        assert!(matches!(error, StoreError::Io(_)), "{other}: {error:?}");
    }
}

#[tokio::test]
async fn a_failed_fsync_stops_the_store_without_a_retry() {
    let folder = Folder::new("fsync");
    let store = folder.open();
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let failing = store.write(RetryPolicy::Endless, move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR_FSYNC))
    });
    assert!(matches!(failing.await, Err(StoreError::Io(_))));
    assert!(matches!(store.not_ready_reason(), Some(StoreError::Io(_))));
    // Later writes fail at once, also those that are retried while the disk is full.
    let later = store.write(RetryPolicy::Endless, |_| Ok(()));
    assert!(matches!(later.await, Err(StoreError::Io(_))));
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_file_of_the_first_layout_is_migrated_and_its_hidden_jobs_are_removed() {
    let folder = Folder::new("first-layout");
    let key = {
        let store = folder.open();
        begun(&store, new_job("job_1")).await.unwrap()
    };
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("PRAGMA user_version = 1")
        .unwrap();
    let store = folder.open();
    assert_eq!(store.orphaned(), [key]);
}
