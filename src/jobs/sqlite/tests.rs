use super::*;
use crate::jobs::store::{
    CrashCount, CreateOutcome, DeliveryAttempt, DeliveryState, Digest, Event, FinishedItem,
    Idempotency, ItemCounts, ItemStatus, Job, JobEnd, JobFilter, JobKey, NewJob, PageSize,
    PendingDelivery, ResultOrder, Scan, Status, StorageQuota, Store, search,
};
use crate::types::Usage;
use std::time::Duration;
use throttle::CallerId;

mod failures;
mod files;
mod groups;
mod reads;
mod restart;
mod retry;
mod shares;
mod simulation;

/// Temporary folder, removed on drop.
pub struct Folder(std::path::PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("extractd-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> std::path::PathBuf {
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
        metadata: serde_json::from_str(r#"{"k":"v"}"#).unwrap(),
        created_at: 1_000,
        idempotency: None,
    }
}

async fn create(store: &Sqlite, id: &str, items: u32) -> JobKey {
    let key = create_uploading(store, new_job(id)).await.unwrap();
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

/// Returns the positions of the first ten items without a result.
async fn pending_indices(store: &Sqlite, job: JobKey) -> Vec<u32> {
    let pending = store.pending(job, 0, 10).await.unwrap();
    pending.iter().map(|item| item.index).collect()
}

/// Returns the new job, or the ID of the existing one.
async fn create_uploading(store: &Sqlite, job: NewJob) -> Result<JobKey, String> {
    match store.create_uploading(job).await.unwrap() {
        CreateOutcome::New(key) => Ok(key),
        CreateOutcome::Existing(job) => Err(job.id),
    }
}

/// Returns the keys of the hidden jobs.
async fn hidden(store: &Sqlite) -> Vec<JobKey> {
    let hidden = store.hidden().await.unwrap();
    hidden.into_iter().map(|job| job.key).collect()
}

/// Returns the due deliveries of all callers.
async fn due_webhooks(store: &Sqlite, now: i64) -> Vec<PendingDelivery> {
    let due = store.due_webhooks(now, 100, std::collections::HashSet::new());
    due.await.unwrap()
}

fn job_end(status: Status) -> JobEnd {
    JobEnd {
        status,
        finished_at: 3_000,
        expires_at: 9_000,
        body: b"{}".to_vec(),
        error: None,
        webhook: Some(b"webhook".to_vec()),
    }
}

fn finished(index: u32, status: ItemStatus) -> FinishedItem {
    FinishedItem {
        index,
        status,
        body: format!("r{index}").into_bytes(),
        usage: Usage::new(10, 5),
        grounding: None,
    }
}

/// Searches without turns. Results are found exactly if the store has some.
impl Sqlite {
    async fn jobs(
        &self,
        caller: String,
        filter: JobFilter,
        before: Option<JobKey>,
        limit: u32,
    ) -> Result<Vec<Job>, StoreError> {
        let find = |before| self.find_jobs(caller.clone(), filter.clone(), before, limit, 0);
        search(before.map_or(u32::MAX, |before| before.0), find).await
    }

    async fn results(
        &self,
        job: JobKey,
        order: ResultOrder,
        only: Option<ItemStatus>,
        after: Option<u32>,
        page: PageSize,
    ) -> Result<Vec<Event>, StoreError> {
        let first = after.map_or(0, |after| after + 1);
        let has_results = search(first, |from| self.has_results(job, order, only, from)).await?;
        let found = search(first, |from| {
            self.find_results(job, order, only, from, page)
        })
        .await?;
        assert_eq!(
            has_results,
            !found.is_empty(),
            "{order:?}, {only:?}, {after:?}"
        );
        Ok(found)
    }
}

fn numbers(events: &[Event]) -> Vec<(u32, Option<u32>)> {
    events
        .iter()
        .map(|event| (event.number, event.item.map(|(index, _)| index)))
        .collect()
}

#[tokio::test]
async fn results_and_end_of_a_job_are_events_without_gaps() {
    let folder = Folder::new("whole");
    let store = folder.open();
    let job = create(&store, "job_a", 4).await;
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
        "the job is running"
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
            finished(2, ItemStatus::Succeeded),
            finished(0, ItemStatus::Failed)
        ])
        .await,
        2
    );
    assert_eq!(
        last(vec![
            finished(2, ItemStatus::Failed),
            finished(3, ItemStatus::Succeeded)
        ])
        .await,
        3
    );
    assert_eq!(pending_indices(&store, job).await, [1]);
    let results = async |order, only, after| {
        numbers(
            &store
                .results(job, order, only, after, PageSize::of_rows(10))
                .await
                .unwrap(),
        )
    };
    assert_eq!(
        results(ResultOrder::Input, None, None).await,
        [(2, Some(0))],
        "the page ends before the first item without a result"
    );
    assert_eq!(
        results(ResultOrder::Completion, None, None).await,
        [(1, Some(2)), (2, Some(0)), (3, Some(3))]
    );
    assert_eq!(
        results(ResultOrder::Completion, Some(ItemStatus::Failed), None).await,
        [(2, Some(0))]
    );
    store
        .record_results(job, vec![finished(1, ItemStatus::Invalid)])
        .await
        .unwrap();
    assert_eq!(
        store
            .complete(job, Status::Cancelling, job_end(Status::Cancelled))
            .await
            .unwrap(),
        None,
        "the job is running"
    );
    assert!(
        store
            .complete(job, Status::Running, job_end(Status::Completed))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        numbers(&store.events(job, 1, PageSize::of_rows(10)).await.unwrap()),
        [(2, Some(0)), (3, Some(3)), (4, Some(1)), (5, None)]
    );
    assert_eq!(
        results(ResultOrder::Input, None, Some(0)).await,
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
    assert_eq!(due_webhooks(&store, 2_999).await, []);
    assert_eq!(
        due_webhooks(&store, 3_000).await,
        [PendingDelivery {
            caller: "ann".to_owned(),
            job,
            event: 5,
            failed_attempts: 0
        }]
    );
    let due = due_webhooks(&store, 3_000).await.remove(0);
    let body_of = async |event| {
        let delivery = PendingDelivery {
            event,
            ..due.clone()
        };
        store.delivery_body(&delivery).await.unwrap()
    };
    assert_eq!(body_of(5).await, Some(b"webhook".to_vec()));
    assert_eq!(body_of(4).await, None, "another end of the job");
    let failed = DeliveryAttempt {
        at: 3_500,
        http_status: Some(500),
        error: Some("the receiver answered 500".to_owned()),
        next_at: Some(5_000),
    };
    store.record_delivery(&due, failed).await.unwrap();
    let delivery = async || {
        let job = store.job("job_a".to_owned()).await.unwrap().unwrap();
        job.delivery.unwrap()
    };
    let pending = delivery().await;
    assert_eq!(
        (pending.state, pending.attempts, pending.http_status),
        (DeliveryState::Pending, 1, Some(500))
    );
    assert_eq!(
        (pending.attempted_at, pending.next_at),
        (Some(3_500), Some(5_000))
    );
    assert_eq!(due_webhooks(&store, 4_999).await, []);
    let due = due_webhooks(&store, 5_000).await.remove(0);
    assert_eq!(due.failed_attempts, 1);
    let delivered = DeliveryAttempt {
        at: 5_001,
        http_status: Some(204),
        ..DeliveryAttempt::default()
    };
    store.record_delivery(&due, delivered).await.unwrap();
    let delivered = delivery().await;
    assert_eq!(
        (delivered.state, delivered.attempts, delivered.error),
        (DeliveryState::Delivered, 2, None)
    );
    assert_eq!(
        (delivered.http_status, delivered.next_at),
        (Some(204), None)
    );
    assert_eq!(body_of(5).await, None, "it is delivered");
    assert_eq!(store.expired(8_999).await.unwrap(), []);
    let expired = store.expired(9_000).await.unwrap();
    assert_eq!(expired, [(job, "ann".to_owned())]);
    assert!(store.soft_delete(job).await.unwrap());
    store.remove(job, CallerId::default()).await.unwrap();
    assert_eq!(
        store
            .jobs("ann".to_owned(), JobFilter::default(), None, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        store.events(job, 0, PageSize::of_rows(10)).await.unwrap(),
        []
    );
    assert_eq!(due_webhooks(&store, 9_000).await, []);
    assert!(store.vacuum_step().await.unwrap());
    assert_eq!(
        std::fs::metadata(folder.file().with_extension("db-wal"))
            .unwrap()
            .len(),
        0,
        "the write-ahead log is truncated"
    );
}

#[tokio::test]
async fn equal_idempotency_keys_return_the_same_job() {
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
    let first = create_uploading(&store, with("job_a", "ann", 1))
        .await
        .unwrap();
    store.finalize(first, 0, DIGEST).await.unwrap();
    assert_eq!(
        create_uploading(&store, with("job_b", "ann", 50)).await,
        Err("job_a".to_owned())
    );
    assert!(
        create_uploading(&store, with("job_c", "bob", 50))
            .await
            .is_ok(),
        "keys of different callers are different"
    );
    assert!(
        create_uploading(&store, with("job_d", "ann", 101))
            .await
            .is_ok(),
        "the key has expired"
    );
}

#[tokio::test]
async fn concurrent_results_are_recorded_exactly_once() {
    const ITEMS: u32 = 2_000;
    let folder = Folder::new("many");
    let store = Arc::new(folder.open());
    let job = create(&store, "job_a", ITEMS).await;
    let mut writes = tokio::task::JoinSet::new();
    for index in 0..ITEMS {
        let store = Arc::clone(&store);
        writes.spawn(async move {
            store
                .record_results(job, vec![finished(index, ItemStatus::Succeeded)])
                .await
                .unwrap()
        });
    }
    writes.join_all().await;
    let events = store
        .events(job, 0, PageSize::of_rows(ITEMS + 1))
        .await
        .unwrap();
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

#[tokio::test]
async fn sums_of_tokens_and_cost_stop_at_the_largest_number() {
    let folder = Folder::new("absurd");
    let store = folder.open();
    let job = create(&store, "job_a", 3).await;
    for index in 0..3 {
        let usage = Usage::new(u64::MAX, u64::MAX - 7)
            .with_details(Some(u64::MAX), Some(u64::MAX))
            .with_cost(Some(crate::types::Usd(u64::MAX)));
        let item = FinishedItem {
            usage,
            grounding: None,
            ..finished(index, ItemStatus::Succeeded)
        };
        let job = store.record_results(job, vec![item]).await.unwrap();
        assert_eq!(job.counts.succeeded, index + 1);
        let most = i64::MAX.unsigned_abs();
        assert_eq!(job.usage.input_tokens, most);
        assert_eq!(job.usage.cost_usd, Some(crate::types::Usd(most)));
        assert!(job.usage.saturated);
    }
}

#[tokio::test]
async fn a_removed_job_is_no_error() {
    let folder = Folder::new("removed");
    let store = folder.open();
    let job = JobKey(77);
    let states = &[Status::Queued];
    assert!(
        !store
            .transition(job, states, Status::Running, 1)
            .await
            .unwrap()
    );
    assert!(!store.cancel(job).await.unwrap());
    assert!(!store.soft_delete(job).await.unwrap());
    assert_eq!(store.requeue(job, None).await.unwrap(), None);
    let end = job_end(Status::Completed);
    assert_eq!(
        store.complete(job, Status::Running, end).await.unwrap(),
        None
    );
    store.remove(job, CallerId::default()).await.unwrap();
}
