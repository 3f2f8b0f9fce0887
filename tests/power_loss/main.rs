//! Loss of power at any point of the store's work: what was promised before is there after the restart, and nothing is there twice.
//!
//! The file system of SQLite records the writes and syncs of a store at work. The power fails after each sync and between them, also
//! while the store recovers; what was not synced is lost as a whole, in part, or in another order. A sync can fail, and a write.
//! `POWER_LOSS_SEED` and `POWER_LOSS_ROUNDS` vary and lengthen it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod promises;
mod workload;

use std::path::{Path, PathBuf};

use extractd::jobs::Sqlite;
use extractd::jobs::store::{Store, StoreError};
use fastrand::Rng;
use power_loss::{Image, Loss, Operation};
use promises::check;
use rustix::io::Errno;
use workload::{Promises, work};

/// Jobs of the workload.
const JOBS: usize = 8;
/// Jobs of the work after a failed sync.
const LATER_JOBS: usize = 2;
/// Syncs that fail in a round, one after the other.
const FAILED_SYNCS: usize = 12;
/// Losses of power after each failed sync.
const CUTS_AFTER_FAILURE: usize = 6;

/// Lock of the recorder, which records one store at a time.
static RECORDER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("extractd-power-{}-{name}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn file(folder: &Path) -> PathBuf {
    folder.join("extractd.db")
}

/// Writes the files of a disk into a folder.
fn lay_out(image: &Image, from: &Path, folder: &Path) {
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder).unwrap();
    for (path, bytes) in image {
        std::fs::write(folder.join(path.strip_prefix(from).unwrap()), bytes).unwrap();
    }
}

/// Lets the power fail again while the store in `folder` is opened and closed, whose files are those of `image`.
fn cut_opening(image: Image, from: &Path, folder: &Path, loss: Loss, rng: &mut Rng) {
    let moved = |(path, bytes): (PathBuf, Vec<u8>)| {
        let name = path.strip_prefix(from).unwrap();
        (folder.join(name), bytes)
    };
    let image: Image = image.into_iter().map(moved).collect();
    power_loss::start(folder);
    drop(Sqlite::open(&file(folder)).unwrap());
    let operations = power_loss::finish();
    let cut = rng.usize(..=operations.len());
    let image = power_loss::image_of(image, &operations[..cut], loss, rng);
    lay_out(&image, folder, folder);
}

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |value| value.parse().expect("a number"))
}

/// Returns the numbers of a run, which are the same in each run unless it is given another seed.
fn seeded() -> (u64, Rng) {
    let seed = number("POWER_LOSS_SEED", 1);
    println!("POWER_LOSS_SEED={seed}");
    (seed, Rng::with_seed(seed))
}

#[tokio::test]
async fn what_the_store_promised_survives_a_loss_of_power_at_any_point() {
    let _recorder = RECORDER.lock().await;
    power_loss::install();
    let (seed, mut rng) = seeded();
    for round in 0..number("POWER_LOSS_ROUNDS", 1) {
        let (folder, copy) = (folder("work"), folder("copy"));
        let mut promises = Promises::default();
        power_loss::start(&folder);
        let store = Sqlite::open(&file(&folder)).unwrap();
        let worked = work(&store, 0..JOBS, &mut promises, &mut rng);
        worked.await.unwrap();
        store.close();
        let operations = power_loss::finish();
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
                let mut label = format!("seed {seed}, round {round}, operation {cut}, {loss:?}");
                if rng.u8(..8) == 0 {
                    let again = *rng.choice(losses).unwrap();
                    cut_opening(image, &folder, &copy, again, &mut rng);
                    label.push_str(", and again in the opening");
                }
                check(&copy, &promises, cut, &label).await;
            }
        }
        drop(std::fs::remove_dir_all(&folder));
        drop(std::fs::remove_dir_all(&copy));
    }
}

/// A sync that succeeds after one that failed proves nothing: what that one left out is not on the disk.
#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_until_a_restart() {
    let _recorder = RECORDER.lock().await;
    power_loss::install();
    let (seed, mut rng) = seeded();
    for round in 0..number("POWER_LOSS_ROUNDS", 1) {
        for number in 0..FAILED_SYNCS {
            // The first syncs are those of the opening.
            let syncs = if number < 4 { number } else { rng.usize(..150) };
            let label = format!("seed {seed}, round {round}, sync {syncs} fails");
            fail_sync(syncs, &label, &mut rng).await;
        }
    }
}

/// Lets a sync fail after so many others, and the power after a restart.
async fn fail_sync(syncs: usize, label: &str, rng: &mut Rng) {
    let (folder, copy) = (folder("failing"), folder("failing-copy"));
    let path = file(&folder);
    let mut promises = Promises::default();
    // A new file begins without a write-ahead log.
    drop(Sqlite::open(&path).unwrap());
    let created = Image::from([(path.clone(), std::fs::read(&path).unwrap())]);
    power_loss::start(&folder);
    power_loss::fail_sync_after(Some(syncs));
    if let Ok(store) = Sqlite::open(&path) {
        let worked = work(&store, 0..JOBS, &mut promises, rng).await;
        if worked.is_err() {
            check_stopped(&store, label).await;
        }
        store.close();
    }
    // The work may have had fewer syncs.
    power_loss::fail_sync_after(None);
    let stopped = power_loss::recorded();

    // The next process finds what the system has in memory.
    rewrite_log(&folder);
    let store = Sqlite::open(&path).unwrap_or_else(|error| panic!("{label}: {error}"));
    let later = JOBS..JOBS + LATER_JOBS;
    let worked = work(&store, later, &mut promises, rng).await;
    worked.unwrap_or_else(|error| panic!("{label}: {error}"));
    store.close();
    drop(store);
    let operations = power_loss::finish();

    let is_failed = |operation: &Operation| matches!(operation, Operation::FailedSync { .. });
    if let Some(failed) = operations.iter().position(is_failed) {
        let after = &operations[failed + 1..stopped];
        assert!(after.is_empty(), "{label}: {} operations", after.len());
    }
    for _ in 0..CUTS_AFTER_FAILURE {
        let cut = rng.usize(stopped..=operations.len());
        let loss = rng.choice([Loss::All, Loss::Some, Loss::Tail]).unwrap();
        let image = power_loss::image_of(created.clone(), &operations[..cut], loss, rng);
        lay_out(&image, &folder, &copy);
        let label = format!("{label}, operation {cut}, {loss:?}");
        check(&copy, &promises, cut, &label).await;
    }
    drop(std::fs::remove_dir_all(&folder));
    drop(std::fs::remove_dir_all(&copy));
}

/// Checks that a store whose sync failed writes nothing.
async fn check_stopped(store: &Sqlite, label: &str) {
    let reason = store.not_ready_reason();
    let is_permanent = matches!(reason, Some(StoreError::Io(_)));
    assert!(is_permanent, "{label}: {reason:?}");
    assert!(store.mark_healthy().await.is_err(), "{label}");
    assert!(store.vacuum_step().await.is_err(), "{label}");
}

/// Notes that the log is written anew, which the store does when it is opened, and not by way of SQLite.
fn rewrite_log(folder: &Path) {
    let log = folder.join("extractd.db-wal");
    if let Ok(bytes) = std::fs::read(&log) {
        power_loss::note_rewrite(&log, bytes);
    }
}

#[tokio::test]
async fn a_failed_write_stops_the_store_unless_there_is_no_space() {
    let _recorder = RECORDER.lock().await;
    power_loss::install();
    let (_, mut rng) = seeded();
    let folder = folder("writes");
    let store = Sqlite::open(&file(&folder)).unwrap();
    let mut promises = Promises::default();
    power_loss::start(&folder);
    let mut failed = Promises::default();
    for (number, errno) in [Errno::DQUOT, Errno::FBIG].into_iter().enumerate() {
        power_loss::fail_writes(Some(errno.raw_os_error()));
        let result = work(&store, number..number + 1, &mut failed, &mut rng).await;
        assert_eq!(result, Err(StoreError::Full), "{errno}");
        power_loss::fail_writes(None);
        let ready = async {
            while store.not_ready_reason().is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let limit = std::time::Duration::from_secs(60);
        let is_ready = tokio::time::timeout(limit, ready).await;
        is_ready.expect("there are 28 MiB in the temporary folder");
        let worked = work(&store, number..number + 1, &mut promises, &mut rng);
        worked.await.unwrap();
    }
    power_loss::fail_writes(Some(Errno::IO.raw_os_error()));
    let result = work(&store, 2..3, &mut failed, &mut rng).await;
    assert!(matches!(result, Err(StoreError::Io(_))), "{result:?}");
    power_loss::fail_writes(None);
    check_stopped(&store, "a failed write").await;
    store.close();
    drop(store);
    drop(power_loss::finish());
    check(&folder, &promises, usize::MAX, "after the failed write").await;
    drop(std::fs::remove_dir_all(&folder));
}
