//! Retries: items that are queued again, and their results.

use super::super::page::MAX_ROWS_PER_READ;
use super::*;

#[tokio::test]
async fn retried_items_replace_their_results() {
    let folder = Folder::new("retry");
    let store = folder.open();
    let job = create(&store, "job_a", 3).await;
    store
        .transition(job, &[Status::Queued], Status::Running, 2_000)
        .await
        .unwrap();
    assert_eq!(
        store.requeue(job, None).await.unwrap(),
        None,
        "the job is running"
    );
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
                .map(|(index, status)| finished(index, status))
                .collect(),
        )
        .await
        .unwrap();
    store
        .complete(job, Status::Running, job_end(Status::Completed))
        .await
        .unwrap();
    let requeued = store.requeue(job, None).await.unwrap().unwrap();
    assert_eq!(
        (
            requeued.status,
            requeued.counts.ended(),
            requeued.last_event
        ),
        (Status::Queued, 1, 4)
    );
    assert_eq!(pending_indices(&store, job).await, [1, 2]);
    store
        .record_results(
            job,
            vec![
                finished(2, ItemStatus::Succeeded),
                finished(1, ItemStatus::Succeeded),
            ],
        )
        .await
        .unwrap();
    let results = store
        .results(
            job,
            ResultOrder::Completion,
            None,
            None,
            PageSize::of_rows(10),
        )
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
            PageSize::of_rows(10),
        )
        .await
        .unwrap();
    assert_eq!(failed, [], "a replaced result is not returned");
}

#[tokio::test]
async fn only_items_of_the_given_status_are_requeued() {
    let folder = Folder::new("requeue");
    let store = folder.open();
    let job = create(&store, "job_a", 4).await;
    let has_failed = async || store.has_failed_since_queued(job).await.unwrap();
    store
        .transition(job, &[Status::Queued], Status::Running, 2_000)
        .await
        .unwrap();
    assert!(!has_failed().await);
    let results = [
        (3, ItemStatus::Failed),
        (0, ItemStatus::Invalid),
        (2, ItemStatus::Cancelled),
    ]
    .map(|(index, status)| finished(index, status));
    store.record_results(job, results.into()).await.unwrap();
    assert!(has_failed().await);
    store
        .complete(job, Status::Running, job_end(Status::Stopped))
        .await
        .unwrap();
    let requeued = store.requeue(job, Some(ItemStatus::Cancelled)).await;
    let counts = requeued.unwrap().unwrap().counts;
    assert_eq!((counts.failed, counts.invalid, counts.cancelled), (1, 1, 0));
    assert!(!has_failed().await, "the failure was before the job's end");
    let indices = pending_indices(&store, job).await;
    assert_eq!(indices, [1, 2], "an item without a result runs in any case");
    let result = finished(2, ItemStatus::Failed);
    store.record_results(job, vec![result]).await.unwrap();
    assert!(has_failed().await);
}

#[tokio::test]
async fn retries_end_at_the_limit_of_stored_bytes() {
    let folder = Folder::new("rounds");
    let limits = StorageLimits {
        max_bytes_per_caller: 1_000,
        ..StorageLimits::default()
    };
    let store = folder.open().with_limits(limits);
    let job = create(&store, "job_a", 1).await;
    let mut rounds = 0;
    let refused = loop {
        let result = finished(0, ItemStatus::Failed);
        store.record_results(job, vec![result]).await.unwrap();
        let end = JobEnd {
            body: vec![b'x'; 50],
            ..job_end(Status::Completed)
        };
        store
            .complete(job, Status::Queued, end)
            .await
            .unwrap()
            .unwrap();
        rounds += 1;
        assert!(rounds <= 10, "the events of each round take 52 bytes");
        if let Err(error) = store.requeue(job, None).await {
            break error;
        }
    };
    assert_eq!(
        refused,
        StoreError::Quota(StorageQuota::Bytes { max: 1_000 })
    );
    let job = store.job_by_key(job).await.unwrap().unwrap();
    assert_eq!(job.status, Status::Completed);
}

#[tokio::test]
async fn a_retry_of_many_items_is_finished_in_steps_when_the_job_starts() {
    const ITEMS: u32 = 10_001;
    let folder = Folder::new("requeue-steps");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let start = async |store: &Sqlite| {
        let states = &[Status::Queued];
        let started = store.transition(job, states, Status::Running, 2_000);
        assert!(started.await.unwrap());
    };
    start(&store).await;
    let results = (0..ITEMS).map(|index| finished(index, ItemStatus::Failed));
    store.record_results(job, results.collect()).await.unwrap();
    let end = job_end(Status::Completed);
    store.complete(job, Status::Running, end).await.unwrap();
    let requeued = store.requeue(job, None).await.unwrap().unwrap();
    assert_eq!(
        (requeued.status, requeued.counts.failed),
        (Status::Queued, 101),
        "one transaction for 9,900 items"
    );
    drop(store);
    let store = folder.open();
    let has_step = store.query(move |connection| requeue::has_requeue_step(connection, job));
    assert!(has_step.await.unwrap());
    start(&store).await;
    let started = store.job_by_key(job).await.unwrap().unwrap();
    assert_eq!(
        (started.status, started.counts.failed),
        (Status::Running, 0)
    );
    let pending = store.pending(job, 0, ITEMS).await.unwrap();
    assert_eq!(pending.len(), MAX_ROWS_PER_READ as usize);
    let rest = store.pending(job, MAX_ROWS_PER_READ, ITEMS);
    assert_eq!(rest.await.unwrap().len(), 1);
}

#[tokio::test]
async fn cancelling_a_retry_of_many_items_keeps_the_results_that_are_left() {
    const ITEMS: u32 = 10_001;
    let folder = Folder::new("requeue-cancelled");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let start = async || {
        let states = &[Status::Queued];
        store.transition(job, states, Status::Running, 2_000).await
    };
    start().await.unwrap();
    let results = (0..ITEMS).map(|index| finished(index, ItemStatus::Invalid));
    store.record_results(job, results.collect()).await.unwrap();
    let end = job_end(Status::Completed);
    store.complete(job, Status::Running, end).await.unwrap();
    store.requeue(job, None).await.unwrap().unwrap();
    assert!(store.cancel(job).await.unwrap());
    assert!(!start().await.unwrap(), "the job is being cancelled");
    let end = job_end(Status::Cancelled);
    let ended = store.complete(job, Status::Cancelling, end).await.unwrap();
    assert_eq!(ended.unwrap().counts.invalid, 101);
    let requeued = store.requeue(job, Some(ItemStatus::Failed)).await.unwrap();
    assert_eq!(
        requeued.unwrap().counts.invalid,
        101,
        "the retry that was cancelled is not continued"
    );
}

#[tokio::test]
async fn a_job_starts_once_all_items_of_a_large_retry_are_queued() {
    const ITEMS: u32 = 2 * MAX_ROWS_PER_READ;
    let folder = Folder::new("large-retry");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let results = (0..ITEMS).map(|index| finished(index, ItemStatus::Failed));
    store.record_results(job, results.collect()).await.unwrap();
    let end = job_end(Status::Completed);
    store.complete(job, Status::Queued, end).await.unwrap();
    store.requeue(job, None).await.unwrap().unwrap();
    let start = store.transition(job, &[Status::Queued], Status::Running, 4_000);
    let started = tokio::time::timeout(Duration::from_secs(30), start).await;
    assert!(started.expect("it has three steps").unwrap());
    let started = store.job_by_key(job).await.unwrap().unwrap();
    assert_eq!(
        (started.status, started.counts.failed),
        (Status::Running, 0)
    );
}

#[tokio::test]
async fn the_last_open_item_of_many_is_found_in_reads_of_bounded_length() {
    const ITEMS: u32 = 2 * MAX_ROWS_PER_READ + 2;
    let folder = Folder::new("bounded-reads");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let results = (0..ITEMS - 1).map(|index| finished(index, ItemStatus::Failed));
    store.record_results(job, results.collect()).await.unwrap();
    let first = store.query(move |connection| item_queries::pending(connection, job, 0, 10));
    assert!(matches!(first.await.unwrap(), Scan::GoOn(next) if next == MAX_ROWS_PER_READ));
    assert_eq!(pending_indices(&store, job).await, [ITEMS - 1]);
    let size = store.pending_size(job, 0, 10).await.unwrap();
    assert_eq!(size.rows, 1);
    assert_eq!(store.pending(job, ITEMS, 10).await.unwrap().len(), 0);
    let size = store.pending_size(job, ITEMS, 10).await.unwrap();
    assert_eq!(size.rows, 0);
}

#[tokio::test]
async fn the_end_after_a_failure_is_found_in_reads_of_bounded_length() {
    const ITEMS: u32 = MAX_ROWS_PER_READ + 2;
    let folder = Folder::new("bounded-end");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let has_failed = async || store.has_failed_since_queued(job).await.unwrap();
    let cancelled = (1..ITEMS).map(|index| finished(index, ItemStatus::Cancelled));
    let results = std::iter::once(finished(0, ItemStatus::Failed)).chain(cancelled);
    store.record_results(job, results.collect()).await.unwrap();
    assert!(has_failed().await);
    let end = job_end(Status::Stopped);
    store.complete(job, Status::Queued, end).await.unwrap();
    let first = store.query(move |connection| item_queries::has_end_from(connection, job, 1));
    let first = first.await.unwrap();
    assert!(
        matches!(first, Scan::GoOn(next) if next == MAX_ROWS_PER_READ + 1),
        "{first:?}"
    );
    // The end is the last event that this read looks at.
    let last = store.query(move |connection| item_queries::has_end_from(connection, job, 4));
    assert!(matches!(last.await.unwrap(), Scan::Page(true)));
    assert!(!has_failed().await);
    let requeued = store.requeue(job, Some(ItemStatus::Cancelled)).await;
    assert_eq!(requeued.unwrap().unwrap().counts.failed, 1);
    assert!(!has_failed().await);
}

#[tokio::test]
async fn an_input_of_no_length_counts_for_what_it_takes() {
    let folder = Folder::new("short-inputs");
    let limits = StorageLimits {
        max_bytes_per_caller: 10_000,
        ..StorageLimits::default()
    };
    let store = folder.open().with_limits(limits);
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let blank = |inputs: usize| vec![b" ".to_vec(); inputs];
    store.add_inputs(job, 0, blank(15)).await.unwrap();
    let refused = store.add_inputs(job, 15, blank(5)).await.unwrap_err();
    assert_eq!(
        refused,
        StoreError::Quota(StorageQuota::Bytes { max: 10_000 })
    );
}
