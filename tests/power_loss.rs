//! Loss of power at any point of the store's work: what was promised before is there after the restart, and nothing is there twice.
//!
//! The file system of SQLite records the writes and syncs of a store at work. The power fails after each sync and between them; what
//! was not synced is lost as a whole, in part, or in another order. `POWER_LOSS_SEED` and `POWER_LOSS_ROUNDS` repeat and lengthen it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use extractd::jobs::Sqlite;
use extractd::jobs::store::{
    CreateOutcome, FinishedItem, Idempotency, ItemStatus, JobEnd, JobKey, NewJob, PageSize,
    ResultOrder, Status, Store,
};
use extractd::types::Usage;
use fastrand::Rng;
use power_loss::{Image, Loss, Operation};
use throttle::CallerId;

/// Jobs of the workload.
const JOBS: usize = 12;
/// Results in one write.
const GROUP: usize = 5;

/// Promises of the store, each with the number of disk operations at the time of the promise.
#[derive(Default)]
struct Promises {
    created: Vec<(usize, Created)>,
    /// Index and body of recorded results.
    recorded: Vec<(usize, JobKey, u32, Vec<u8>)>,
    ended: Vec<(usize, JobKey)>,
    /// Deletions, when they were asked for and when they were promised.
    deleted: Vec<(usize, usize, JobKey)>,
}

#[derive(Clone)]
struct Created {
    key: JobKey,
    id: String,
    inputs: Vec<Vec<u8>>,
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("extractd-power-{}-{name}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    path
}

async fn create(store: &Sqlite, number: usize, rng: &mut Rng) -> Created {
    let id = format!("job_{number}");
    let job = NewJob {
        id: id.clone(),
        caller: format!("caller-{}", number % 3),
        spec: "s".repeat(rng.usize(1..20_000)),
        metadata: None,
        created_at: 1_000,
        idempotency: Some(Idempotency {
            key: format!("key-{number}"),
            until: i64::MAX,
        }),
    };
    let CreateOutcome::New(key) = store.create_uploading(job).await.unwrap() else {
        panic!("{id} is new");
    };
    let (mut inputs, mut first) = (Vec::new(), 0);
    for _ in 0..rng.usize(1..4) {
        let chunk: Vec<Vec<u8>> = (0..rng.usize(1..20))
            .map(|_| vec![b'i'; rng.usize(1..9_000)])
            .collect();
        let count = u32::try_from(chunk.len()).unwrap();
        store.add_inputs(key, first, chunk.clone()).await.unwrap();
        inputs.extend(chunk);
        first += count;
    }
    store.finalize(key, first, [7; 32]).await.unwrap();
    Created { key, id, inputs }
}

/// Runs a job, and notes what the store promises.
async fn run(store: &Sqlite, job: &Created, promises: &mut Promises, rng: &mut Rng) {
    let key = job.key;
    let queued = &[Status::Queued];
    let started = store.transition(key, queued, Status::Running, 2_000);
    assert!(started.await.unwrap());
    let total = u32::try_from(job.inputs.len()).unwrap();
    store.lease_until(key, total).await.unwrap();
    let mut order: Vec<u32> = (0..total).collect();
    rng.shuffle(&mut order);
    for group in order.chunks(GROUP) {
        let items: Vec<FinishedItem> = group
            .iter()
            .map(|index| FinishedItem {
                index: *index,
                status: ItemStatus::Succeeded,
                body: format!("r{index}-{}", "r".repeat(rng.usize(1..3_000))).into_bytes(),
                usage: Usage::new(10, 5),
                grounding: None,
            })
            .collect();
        store.record_results(key, items.clone()).await.unwrap();
        let now = power_loss::recorded();
        let recorded = items
            .into_iter()
            .map(|item| (now, key, item.index, item.body));
        promises.recorded.extend(recorded);
    }
    let end = JobEnd {
        status: Status::Completed,
        finished_at: 3_000,
        expires_at: i64::MAX,
        body: b"{}".to_vec(),
        error: None,
        webhook: Some(b"{}".to_vec()),
    };
    let completed = store.complete(key, Status::Running, end).await.unwrap();
    assert!(completed.is_some());
    promises.ended.push((power_loss::recorded(), key));
}

async fn delete(store: &Sqlite, job: &Created, promises: &mut Promises) {
    let asked = power_loss::recorded();
    assert!(store.soft_delete(job.key).await.unwrap());
    let confirmed = power_loss::recorded();
    promises.deleted.push((asked, confirmed, job.key));
    store.remove(job.key, CallerId::default()).await.unwrap();
    store.vacuum_step().await.unwrap();
}

/// Lets a store work, and returns what it wrote and what it promised.
async fn work(folder: &Path, rng: &mut Rng) -> (Vec<Operation>, Promises) {
    let mut promises = Promises::default();
    power_loss::start(folder);
    let store = Sqlite::open(&folder.join("extractd.db")).unwrap();
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let job = create(&store, number, rng).await;
        promises.created.push((power_loss::recorded(), job.clone()));
        jobs.push(job);
        if number % 2 == 1 {
            let job = jobs.remove(rng.usize(..jobs.len()));
            run(&store, &job, &mut promises, rng).await;
            if rng.bool() {
                delete(&store, &job, &mut promises).await;
            }
        }
    }
    for job in jobs {
        run(&store, &job, &mut promises, rng).await;
    }
    store.close();
    (power_loss::finish(), promises)
}

/// Writes the files of a disk into a folder.
fn lay_out(image: &Image, from: &Path, folder: &Path) {
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder).unwrap();
    for (path, bytes) in image {
        std::fs::write(folder.join(path.strip_prefix(from).unwrap()), bytes).unwrap();
    }
}

/// Checks what a store contains against what was promised before the operation `cut`.
async fn check(folder: &Path, promises: &Promises, cut: usize, label: &str) {
    let file = folder.join("extractd.db");
    let store = Sqlite::open(&file).unwrap_or_else(|error| panic!("{label}: {error}"));
    let is_deleted = |key: JobKey| {
        let mut deleted = promises.deleted.iter();
        deleted.any(|(asked, _, deleted)| *deleted == key && *asked < cut)
    };
    for (at, job) in &promises.created {
        let found = store.job(job.id.clone()).await.unwrap();
        if *at <= cut && !is_deleted(job.key) {
            assert!(found.is_some(), "{label}: {} was accepted", job.id);
        }
        if let Some(found) = found {
            check_job(&store, job, &found, label).await;
        }
    }
    for (_, promised, key) in &promises.deleted {
        if *promised <= cut {
            let job = store.job_by_key(*key).await.unwrap();
            let is_visible = job.is_some_and(|job| job.status.is_visible());
            assert!(!is_visible, "{label}: {key:?} was deleted");
        }
    }
    let mut results: BTreeMap<(JobKey, u32), Vec<u8>> = BTreeMap::new();
    for (_, job) in &promises.created {
        let found = store.results(
            job.key,
            ResultOrder::Completion,
            None,
            None,
            PageSize::of_rows(1_000),
        );
        for event in found.await.unwrap() {
            let (index, _) = event.item.unwrap();
            let before = results.insert((job.key, index), event.body);
            assert!(before.is_none(), "{label}: {index} of {} twice", job.id);
        }
    }
    for (at, key, index, body) in &promises.recorded {
        if *at <= cut && !is_deleted(*key) {
            let found = results.get(&(*key, *index));
            assert_eq!(found, Some(body), "{label}: result {index} of {key:?}");
        }
    }
    for (at, key) in &promises.ended {
        if *at <= cut && !is_deleted(*key) {
            let job = store.job_by_key(*key).await.unwrap().unwrap();
            assert_eq!(job.status, Status::Completed, "{label}: {key:?}");
        }
    }
    store.close();
    drop(store);
    let connection = rusqlite::Connection::open(&file).unwrap();
    let intact: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok", "{label}");
}

/// Checks that a visible job is whole.
async fn check_job(store: &Sqlite, job: &Created, found: &extractd::jobs::store::Job, label: &str) {
    let total = u32::try_from(job.inputs.len()).unwrap();
    assert_eq!(found.counts.total, total, "{label}: {}", job.id);
    let events = store
        .events(job.key, 0, PageSize::of_rows(10_000))
        .await
        .unwrap();
    let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
    let expected: Vec<u32> = (1..=found.last_event).collect();
    assert_eq!(numbers, expected, "{label}: events of {}", job.id);
    let items = events.iter().filter_map(|event| event.item);
    let done: BTreeSet<u32> = items.map(|(index, _)| index).collect();
    assert_eq!(done.len(), found.counts.ended() as usize, "{label}");
    let mut pending = store.pending(job.key, 0, 10_000).await.unwrap();
    // A page ends after a megabyte.
    while let Some(last) = pending.last() {
        let more = store
            .pending(job.key, last.index + 1, 10_000)
            .await
            .unwrap();
        if more.is_empty() {
            break;
        }
        pending.extend(more);
    }
    assert_eq!(done.len() + pending.len(), job.inputs.len(), "{label}");
    for item in pending {
        assert!(!done.contains(&item.index), "{label}: {}", item.index);
        let input = &job.inputs[item.index as usize];
        assert_eq!(&item.input, input, "{label}: input {}", item.index);
    }
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn what_the_store_promised_survives_a_loss_of_power_at_any_point() {
    power_loss::install();
    let seed = number("POWER_LOSS_SEED", fastrand::u64(..));
    println!("POWER_LOSS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    for round in 0..number("POWER_LOSS_ROUNDS", 1) {
        let (folder, copy) = (folder("work"), folder("copy"));
        let (operations, promises) = work(&folder, &mut rng).await;
        let is_sync = |operation: &Operation| matches!(operation, Operation::Sync { .. });
        let syncs = operations.iter().filter(|operation| is_sync(operation));
        assert!(syncs.count() > 100, "{} operations", operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let losses: &[Loss] = match operation {
                // A moment before the sync, and a moment after.
                Operation::Sync { .. } => &[Loss::All, Loss::Some, Loss::Tail],
                _ if rng.u8(..) < 4 => &[Loss::Nothing, Loss::Some, Loss::Tail],
                _ => continue,
            };
            let cuts = if is_sync(operation) {
                vec![index, index + 1]
            } else {
                vec![index]
            };
            for cut in cuts {
                let loss = *rng.choice(losses).unwrap();
                let image = power_loss::image(&operations[..cut], loss, &mut rng);
                lay_out(&image, &folder, &copy);
                let label = format!("seed {seed}, round {round}, operation {cut}, {loss:?}");
                check(&copy, &promises, cut, &label).await;
            }
        }
        drop(std::fs::remove_dir_all(&folder));
        drop(std::fs::remove_dir_all(&copy));
    }
}
