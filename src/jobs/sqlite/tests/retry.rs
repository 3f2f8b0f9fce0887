//! Retries: items that are queued again, and their results.

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
        max_bytes_per_caller: 500,
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
    assert_eq!(refused, StoreError::Quota(StorageQuota::Bytes { max: 500 }));
    let job = store.job_by_key(job).await.unwrap().unwrap();
    assert_eq!(job.status, Status::Completed);
}
