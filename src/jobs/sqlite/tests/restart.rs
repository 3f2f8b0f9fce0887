//! Restarts: jobs of the previous process, crash counts, migrations, and files that are not opened.

use super::*;

/// Makes a store of the newest layout one of layout 1.
const UNDO_NEWER_LAYOUTS: &str = "ALTER TABLE jobs DROP COLUMN leased_from; ALTER TABLE jobs DROP COLUMN requeued; ALTER TABLE jobs DROP COLUMN grounding; DROP TABLE deliveries; DROP INDEX jobs_hidden_of_caller; DROP INDEX jobs_expiring; CREATE INDEX jobs_ending ON jobs (expires_at) WHERE expires_at IS NOT NULL; DROP TRIGGER job_added; DROP TRIGGER job_grown; DROP TRIGGER job_removed;
    DROP TABLE callers; ALTER TABLE jobs DROP COLUMN stored_bytes; DROP INDEX webhooks_of_caller;
    ALTER TABLE webhooks DROP COLUMN caller; CREATE INDEX webhooks_due ON webhooks (due_at); PRAGMA user_version = 1;";

#[tokio::test]
async fn jobs_survive_the_process_and_interrupted_uploads_are_removed() {
    let folder = Folder::new("again");
    let store = folder.open();
    let job = create(&store, "job_a", 3).await;
    let interrupted = create_uploading(&store, new_job("job_b")).await.unwrap();
    store
        .add_inputs(interrupted, 0, vec![b"x".to_vec()])
        .await
        .unwrap();
    assert_eq!(
        store
            .jobs("ann".to_owned(), JobFilter::default(), None, 10)
            .await
            .unwrap()
            .len(),
        1,
        "a job that is being uploaded is invisible"
    );
    assert!(
        matches!(Sqlite::open(&folder.file()), Err(StoreError::Locked)),
        "one process has the file open"
    );
    let secret = store.secret().unwrap();
    store
        .transition(job, &[Status::Queued], Status::Running, 2_000)
        .await
        .unwrap();
    store
        .record_results(job, vec![finished(0, ItemStatus::Succeeded)])
        .await
        .unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(store.secret().unwrap(), secret);
    assert_eq!(
        store.unfinished().await.unwrap(),
        [(job, "ann".to_owned(), Status::Running)]
    );
    assert_eq!(pending_indices(&store, job).await, [1, 2]);
    assert_eq!(hidden(&store).await, [interrupted]);
    store
        .remove(interrupted, CallerId::default())
        .await
        .unwrap();
    assert!(store.pending(interrupted, 0, 10).await.unwrap().is_empty());
    let next = create_uploading(&store, new_job("job_c")).await.unwrap();
    assert!(next > interrupted, "a key is never used twice");
}

#[tokio::test]
async fn crashes_are_counted_until_a_process_is_healthy() {
    let folder = Folder::new("lost");
    let mut store = folder.open();
    let job = create(&store, "job_a", 4).await;
    let crash_counts = async |store: &Sqlite| {
        let pending = store.pending(job, 0, 10).await.unwrap();
        pending
            .iter()
            .map(|item| {
                (
                    item.index,
                    item.crash_count.crashes,
                    item.crash_count.isolated,
                )
            })
            .collect::<Vec<_>>()
    };
    for crashes in 1..=2 {
        store.lease_until(job, 3).await.unwrap();
        store
            .record_results(job, vec![finished(0, ItemStatus::Succeeded)])
            .await
            .unwrap();
        drop(store);
        store = folder.open();
        assert_eq!(
            crash_counts(&store).await,
            [(1, crashes, 0), (2, crashes, 0), (3, 0, 0)]
        );
    }
    store.set_isolated(Some((job, 2))).await.unwrap();
    drop(store);
    store = folder.open();
    let suspects = store.crash_suspects(3).await.unwrap();
    assert_eq!(
        suspects
            .iter()
            .map(|suspect| (suspect.job, suspect.index, suspect.crash_count))
            .collect::<Vec<_>>(),
        [(
            job,
            2,
            CrashCount {
                crashes: 3,
                isolated: 1
            }
        )]
    );
    drop(store);
    store = folder.open();
    assert_eq!(
        crash_counts(&store).await,
        [(1, 0, 0), (2, 0, 0), (3, 0, 0)],
        "a crash with no item in flight acquits all items"
    );
    store.lease_until(job, 4).await.unwrap();
    store.mark_clean_shutdown().await.unwrap();
    drop(store);
    store = folder.open();
    assert_eq!(
        crash_counts(&store).await,
        [(1, 0, 0), (2, 0, 0), (3, 0, 0)],
        "a clean shutdown is no crash"
    );
    store.lease_until(job, 4).await.unwrap();
    drop(store);
    store = folder.open();
    store.mark_healthy().await.unwrap();
    assert_eq!(
        crash_counts(&store).await,
        [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    );
}

#[tokio::test]
async fn an_item_that_was_acquitted_is_no_suspect() {
    let folder = Folder::new("acquitted");
    let store = folder.open();
    let job = create(&store, "job_a", 3).await;
    store.lease_until(job, 3).await.unwrap();
    drop(store);
    let store = folder.open();
    store.clear_suspicion(job, 1).await.unwrap();
    let suspects = store.crash_suspects(1).await.unwrap();
    let mut indices: Vec<_> = suspects.iter().map(|suspect| suspect.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 2]);
}

/// Reading the inputs before the lease takes seconds for each gigabyte of them.
#[tokio::test]
async fn a_start_after_a_crash_reads_no_inputs() {
    let folder = Folder::new("lease");
    let store = folder.open();
    let job = create(&store, "job_a", 4).await;
    store.lease_until(job, 3).await.unwrap();
    let results = vec![finished(1, ItemStatus::Succeeded)];
    store.record_results(job, results).await.unwrap();
    drop(store);
    let sql = "DELETE FROM inputs";
    let connection = Connection::open(folder.file()).unwrap();
    connection.execute(sql, []).unwrap();
    drop(connection);
    let store = folder.open();
    let counts = store.query(|connection| {
        let sql = "SELECT place & 4294967295 FROM items WHERE lost = 1 ORDER BY place";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<u32>>>()
    });
    assert_eq!(counts.await.unwrap(), [0, 2]);
}

#[tokio::test]
async fn a_lease_begins_at_the_first_item_without_a_result() {
    let folder = Folder::new("leased-from");
    let store = folder.open();
    let job = create(&store, "job_a", 6).await;
    let leased_from = async || {
        let from = store.query(move |connection| {
            let sql = "SELECT leased_from FROM jobs WHERE key = ?1";
            connection.query_row(sql, [job.0], |row| row.get::<_, u32>(0))
        });
        from.await.unwrap()
    };
    let record = async |indices: &[u32]| {
        let results = indices.iter();
        let results = results.map(|index| finished(*index, ItemStatus::Failed));
        store.record_results(job, results.collect()).await.unwrap();
    };
    let states = &[Status::Queued];
    let started = store.transition(job, states, Status::Running, 2_000);
    assert!(started.await.unwrap());
    store.lease_until(job, 2).await.unwrap();
    assert_eq!(leased_from().await, 0);
    record(&[1, 3]).await;
    store.lease_until(job, 4).await.unwrap();
    assert_eq!(leased_from().await, 0);
    record(&[0]).await;
    store.lease_until(job, 6).await.unwrap();
    assert_eq!(leased_from().await, 2);
    record(&[2, 4, 5]).await;
    let end = job_end(Status::Completed);
    store.complete(job, Status::Running, end).await.unwrap();
    store.requeue(job, None).await.unwrap().unwrap();
    assert_eq!(leased_from().await, 0, "its items run again");
}

#[tokio::test]
async fn files_of_other_programs_or_newer_versions_are_rejected() {
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
    let retried = Sqlite::open_or_retry(&folder.file(), || ());
    assert!(matches!(retried, Err(StoreError::Corrupt(_))));
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
async fn file_of_the_first_layout_is_migrated() {
    let folder = Folder::new("first-layout");
    let (completed, uploading) = {
        let store = folder.open();
        let completed = create(&store, "job_1", 1).await;
        store
            .transition(completed, &[Status::Queued], Status::Running, 2_000)
            .await
            .unwrap();
        store
            .record_results(completed, vec![finished(0, ItemStatus::Succeeded)])
            .await
            .unwrap();
        store
            .complete(completed, Status::Running, job_end(Status::Completed))
            .await
            .unwrap();
        // Layout 1 has one status, 0, for jobs that are being uploaded or deleted.
        let uploading = create_uploading(&store, new_job("job_2")).await.unwrap();
        (completed, uploading)
    };
    Connection::open(folder.file())
        .unwrap()
        .execute_batch(UNDO_NEWER_LAYOUTS)
        .unwrap();
    let store = folder.open();
    assert_eq!(hidden(&store).await, [uploading]);
    let job = store.job("job_1".to_owned()).await.unwrap().unwrap();
    assert_eq!((job.status, job.counts.succeeded), (Status::Completed, 1));
    assert!(store.soft_delete(completed).await.unwrap());
    assert_eq!(store.job("job_1".to_owned()).await.unwrap(), None);
    drop(store);
    let layout: i64 = Connection::open(folder.file())
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(layout, migrations::LAYOUT);
    assert_eq!(
        hidden(&folder.open()).await,
        [completed, uploading],
        "an interrupted deletion is continued"
    );
}

#[tokio::test]
async fn only_a_hidden_job_is_removed_and_its_key_is_free_at_once() {
    let folder = Folder::new("abandoned");
    let store = folder.open();
    let with_key = |id: &str| NewJob {
        idempotency: Some(Idempotency {
            key: "K".to_owned(),
            until: 99_000,
        }),
        ..new_job(id)
    };
    let first = create_uploading(&store, with_key("job_a")).await.unwrap();
    store.remove(first, CallerId::default()).await.unwrap();
    assert_eq!(
        store.finalize(first, 0, DIGEST).await.unwrap_err(),
        StoreError::Other("Query returned no rows".to_owned()),
        "an upload whose job was removed creates no job"
    );
    let second = create_uploading(&store, with_key("job_b")).await.unwrap();
    store.finalize(second, 0, DIGEST).await.unwrap();
    store.remove(second, CallerId::default()).await.unwrap();
    assert!(store.job("job_b".to_owned()).await.unwrap().is_some());
    assert!(hidden(&store).await.is_empty());
}
