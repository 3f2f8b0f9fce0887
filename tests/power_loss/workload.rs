//! Work on a store, and what the store promises meanwhile: uploads (some of them broken off), results, ends with their webhooks,
//! deliveries, retries, cancellations and removals.

use std::collections::HashSet;
use std::ops::Range;

use extractd::jobs::Sqlite;
use extractd::jobs::store::{
    CreateOutcome, DeliveryAttempt, FinishedItem, Idempotency, ItemStatus, JobEnd, JobKey, NewJob,
    Status, Store, StoreError,
};
use extractd::types::Usage;
use fastrand::Rng;
use throttle::CallerId;

/// Results in one write.
const GROUP: usize = 5;
/// Time at which all deliveries are due.
pub const LATE: i64 = 10_000;
/// Operation before which a promise holds that nothing ends.
const ALWAYS: usize = usize::MAX;

/// Promise of the store, given with the operation `from` of the disk. It holds until the operation `until`, from which on a write that
/// was asked for may end it.
pub struct Promise<T> {
    from: usize,
    until: usize,
    pub what: T,
}

impl<T> Promise<T> {
    fn new(what: T) -> Self {
        Self {
            from: power_loss::recorded(),
            until: ALWAYS,
            what,
        }
    }

    /// Returns true if the promise holds after these operations.
    pub const fn holds(&self, operations: usize) -> bool {
        self.from <= operations && operations <= self.until
    }
}

/// Result of an item.
pub struct Recorded {
    pub job: JobKey,
    pub index: u32,
    pub body: Vec<u8>,
    is_success: bool,
}

/// Promises of a store.
#[derive(Default)]
pub struct Promises {
    /// Jobs, with all their inputs.
    pub created: Vec<Promise<Job>>,
    /// Jobs that are nothing but uploads.
    pub broken: Vec<Job>,
    pub recorded: Vec<Promise<Recorded>>,
    /// Statuses, of which the job has one.
    pub statuses: Vec<Promise<(JobKey, &'static [Status])>>,
    /// Ends whose webhook is due.
    pub due: Vec<Promise<JobKey>>,
    /// Ends whose webhook was delivered.
    pub delivered: Vec<Promise<JobKey>>,
    pub deleted: Vec<Promise<JobKey>>,
}

#[derive(Clone)]
pub struct Job {
    pub key: JobKey,
    pub new: NewJob,
    pub inputs: Vec<Vec<u8>>,
}

impl Promises {
    /// Notes that a write was asked for that changes the status of a job, and ends what follows from its end.
    fn end_status(&mut self, job: JobKey) {
        let now = power_loss::recorded();
        end(&mut self.statuses, now, |(key, _)| *key == job);
        end(&mut self.due, now, |key| *key == job);
        end(&mut self.delivered, now, |key| *key == job);
    }

    /// Notes that a retry of the job was asked for.
    fn end_failures(&mut self, job: JobKey) {
        let now = power_loss::recorded();
        let is_failure = |result: &Recorded| result.job == job && !result.is_success;
        end(&mut self.recorded, now, is_failure);
    }

    /// Notes that the removal of the job was asked for.
    fn end_all(&mut self, job: JobKey) {
        self.end_status(job);
        let now = power_loss::recorded();
        end(&mut self.created, now, |created| created.key == job);
        end(&mut self.recorded, now, |result| result.job == job);
    }

    fn status(&mut self, job: JobKey, statuses: &'static [Status]) {
        self.statuses.push(Promise::new((job, statuses)));
    }
}

/// Ends those of the promises that are about `what`, with the operation `now`.
fn end<T>(promises: &mut [Promise<T>], now: usize, what: impl Fn(&T) -> bool) {
    for promise in promises.iter_mut().filter(|promise| what(&promise.what)) {
        promise.until = now.min(promise.until);
    }
}

/// Works on jobs with these numbers, until the store fails.
pub async fn work(
    store: &Sqlite,
    jobs: Range<usize>,
    promises: &mut Promises,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    let mut waiting = Vec::new();
    for number in jobs {
        break_upload(store, number, promises, rng).await?;
        let job = create(store, number, rng).await?;
        promises.created.push(Promise::new(job.clone()));
        promises.status(job.key, &[Status::Queued]);
        waiting.push(job);
        if number % 2 == 1 {
            let job = waiting.swap_remove(rng.usize(..waiting.len()));
            if number % 4 == 1 {
                run(store, &job, promises, rng).await?;
            } else {
                cancel(store, &job, promises).await?;
            }
            if rng.bool() {
                delete(store, &job, promises).await?;
            }
        }
    }
    for job in waiting {
        run(store, &job, promises, rng).await?;
    }
    Ok(())
}

fn new_job(id: String, number: usize, rng: &mut Rng) -> NewJob {
    NewJob {
        caller: format!("caller-{}", number % 3),
        spec: "s".repeat(rng.usize(1..20_000)),
        metadata: None,
        created_at: 1_000,
        idempotency: Some(Idempotency {
            key: format!("key-of-{id}"),
            until: i64::MAX,
        }),
        id,
    }
}

/// Begins a job.
async fn begin(store: &Sqlite, new: NewJob) -> Result<Job, StoreError> {
    let outcome = store.create_uploading(new.clone()).await?;
    let CreateOutcome::New(key) = outcome else {
        panic!("{} is new", new.id);
    };
    let inputs = Vec::new();
    Ok(Job { key, new, inputs })
}

/// Adds some inputs to a job.
async fn add_inputs(store: &Sqlite, job: &mut Job, rng: &mut Rng) -> Result<(), StoreError> {
    let chunk: Vec<Vec<u8>> = (0..rng.usize(1..20))
        .map(|_| vec![b'i'; rng.usize(1..9_000)])
        .collect();
    let first = u32::try_from(job.inputs.len()).unwrap();
    store.add_inputs(job.key, first, chunk.clone()).await?;
    job.inputs.extend(chunk);
    Ok(())
}

async fn create(store: &Sqlite, number: usize, rng: &mut Rng) -> Result<Job, StoreError> {
    let mut job = begin(store, new_job(format!("job_{number}"), number, rng)).await?;
    for _ in 0..rng.usize(1..4) {
        add_inputs(store, &mut job, rng).await?;
    }
    let total = u32::try_from(job.inputs.len()).unwrap();
    store.finalize(job.key, total, [7; 32]).await?;
    Ok(job)
}

/// Begins an upload, of which the server knows the end or not.
async fn break_upload(
    store: &Sqlite,
    number: usize,
    promises: &mut Promises,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    let mut job = begin(store, new_job(format!("broken_{number}"), number, rng)).await?;
    promises.broken.push(job.clone());
    add_inputs(store, &mut job, rng).await?;
    if rng.bool() {
        store.abandon(job.key).await?;
    }
    Ok(())
}

/// Runs a job, delivers its webhook, and retries it.
async fn run(
    store: &Sqlite,
    job: &Job,
    promises: &mut Promises,
    rng: &mut Rng,
) -> Result<(), StoreError> {
    run_pending(store, job, promises, rng, true).await?;
    let is_retried = rng.bool();
    if rng.bool() {
        deliver(store, job, promises).await?;
    }
    if !is_retried {
        return Ok(());
    }
    promises.end_status(job.key);
    promises.end_failures(job.key);
    assert!(store.requeue(job.key, None).await?.is_some());
    promises.status(job.key, &[Status::Queued]);
    run_pending(store, job, promises, rng, false).await
}

/// Runs the items without a result, of which some fail.
async fn run_pending(
    store: &Sqlite,
    job: &Job,
    promises: &mut Promises,
    rng: &mut Rng,
    can_fail: bool,
) -> Result<(), StoreError> {
    let key = job.key;
    promises.end_status(key);
    let started = store.transition(key, &[Status::Queued], Status::Running, 2_000);
    assert!(started.await?);
    promises.status(key, &[Status::Running]);
    let total = u32::try_from(job.inputs.len()).unwrap();
    store.lease_until(key, total).await?;
    let mut pending = pending(store, key).await?;
    rng.shuffle(&mut pending);
    for group in pending.chunks(GROUP) {
        let mut finished = |index: u32| {
            let is_success = !can_fail || rng.u8(..4) > 0;
            FinishedItem {
                index,
                status: if is_success {
                    ItemStatus::Succeeded
                } else {
                    ItemStatus::Failed
                },
                body: format!("r{index}-{}", "r".repeat(rng.usize(1..3_000))).into_bytes(),
                usage: Usage::new(10, 5),
                grounding: None,
            }
        };
        let items: Vec<FinishedItem> = group.iter().map(|index| finished(*index)).collect();
        store.record_results(key, items.clone()).await?;
        let recorded = items.into_iter().map(|item| {
            Promise::new(Recorded {
                job: key,
                index: item.index,
                body: item.body,
                is_success: item.status == ItemStatus::Succeeded,
            })
        });
        promises.recorded.extend(recorded);
    }
    complete(store, job, Status::Running, Status::Completed, promises).await
}

/// Returns the indices of the items without a result.
async fn pending(store: &Sqlite, job: JobKey) -> Result<Vec<u32>, StoreError> {
    let mut indices = Vec::new();
    loop {
        let from = indices.last().map_or(0, |last| last + 1);
        // A page ends after a megabyte.
        let page = store.pending(job, from, 10_000).await?;
        if page.is_empty() {
            return Ok(indices);
        }
        indices.extend(page.into_iter().map(|item| item.index));
    }
}

async fn complete(
    store: &Sqlite,
    job: &Job,
    from: Status,
    status: Status,
    promises: &mut Promises,
) -> Result<(), StoreError> {
    promises.end_status(job.key);
    let end = JobEnd {
        status,
        finished_at: 3_000,
        expires_at: i64::MAX,
        body: b"{}".to_vec(),
        error: None,
        webhook: Some(b"{}".to_vec()),
    };
    assert!(store.complete(job.key, from, end).await?.is_some());
    let ended: &[Status] = match status {
        Status::Cancelled => &[Status::Cancelled],
        _ => &[Status::Completed],
    };
    promises.status(job.key, ended);
    promises.due.push(Promise::new(job.key));
    Ok(())
}

/// Records that the webhook of a job that has ended was delivered.
async fn deliver(store: &Sqlite, job: &Job, promises: &mut Promises) -> Result<(), StoreError> {
    let due = store.due_webhooks(LATE, 100, HashSet::new()).await?;
    let due = due.into_iter().find(|due| due.job == job.key).unwrap();
    let now = power_loss::recorded();
    end(&mut promises.due, now, |key| *key == job.key);
    let attempt = DeliveryAttempt {
        at: 4_000,
        http_status: Some(200),
        error: None,
        next_at: None,
    };
    store.record_delivery(&due, attempt).await?;
    promises.delivered.push(Promise::new(job.key));
    Ok(())
}

async fn cancel(store: &Sqlite, job: &Job, promises: &mut Promises) -> Result<(), StoreError> {
    promises.end_status(job.key);
    assert!(store.cancel(job.key).await?);
    promises.status(job.key, &[Status::Cancelling]);
    complete(store, job, Status::Cancelling, Status::Cancelled, promises).await
}

async fn delete(store: &Sqlite, job: &Job, promises: &mut Promises) -> Result<(), StoreError> {
    promises.end_all(job.key);
    assert!(store.soft_delete(job.key).await?);
    promises.deleted.push(Promise::new(job.key));
    store.remove(job.key, CallerId::default()).await?;
    store.vacuum_step().await.map(drop)
}
