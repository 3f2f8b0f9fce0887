//! Groups of writes: whose turn it is, and what a rejected write does to the others of its transaction.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;

/// Makes the write thread wait until the sender is dropped, so that the writes submitted meanwhile share a transaction.
fn hold_writer(store: &Sqlite) -> (std::sync::mpsc::Sender<()>, Stored<'_, ()>) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let held = store.write(WriteClass::Work, WriteOwner::Process, move |_| {
        released.recv().unwrap_or_default();
        Ok(())
    });
    (release, held)
}

#[tokio::test]
async fn a_rejected_write_is_undone_and_the_others_of_its_group_are_executed_once() {
    const PAIRS: usize = 50;
    let folder = Folder::new("groups");
    let store = folder.open();
    let job = create(&store, "job_a", 0).await;
    let stored_bytes = async || {
        let stored = store.query(move |connection| {
            let sql = "SELECT stored_bytes FROM jobs WHERE key = ?1";
            connection.query_row(sql, [job.0], |row| row.get::<_, u32>(0))
        });
        stored.await.unwrap() as usize
    };
    let before = stored_bytes().await;
    let executed = Arc::new(AtomicUsize::new(0));
    let (release, held) = hold_writer(&store);
    let pairs = (0..PAIRS).map(|_| {
        let add = |executed: Arc<AtomicUsize>, is_rejected: bool| {
            store.write(WriteClass::Ordinary, job, move |connection| {
                executed.fetch_add(1, Ordering::SeqCst);
                quota::add_bytes(connection, job, 1)?;
                if is_rejected {
                    let quota = crate::jobs::store::StorageQuota::Jobs { max: 1 };
                    return Err(error::to_sqlite(StoreError::Quota(quota)));
                }
                Ok(())
            })
        };
        let rejected = add(Arc::clone(&executed), true);
        let written = add(Arc::clone(&executed), false);
        async move {
            let (rejected, written) = tokio::join!(rejected, written);
            assert!(matches!(rejected, Err(StoreError::Quota(_))));
            written.unwrap();
        }
    });
    let released = async {
        // The writes before it in the `join` have been submitted.
        drop(release);
    };
    let (held, _, ()) = tokio::join!(held, join_all(pairs), released);
    held.unwrap();
    assert_eq!(executed.load(Ordering::SeqCst), 2 * PAIRS);
    assert_eq!(stored_bytes().await, before + PAIRS);
}

#[tokio::test]
async fn the_writes_of_one_caller_do_not_wait_for_all_of_another_ones() {
    const LARGE: usize = 4 << 20;
    let folder = Folder::new("write-turns");
    let store = folder.open();
    let of_ann = create(&store, "job_a", 0).await;
    let job = NewJob {
        caller: "bob".to_owned(),
        ..new_job("job_b")
    };
    let of_bob = create_uploading(&store, job).await.unwrap();
    let executed = Arc::new(Mutex::new(Vec::new()));
    let write = |job: JobKey, bytes, label: String| {
        let executed = Arc::clone(&executed);
        store.write_bytes(WriteClass::Work, job, bytes, move |_| {
            executed.lock().unwrap().push(label.clone());
            Ok(())
        })
    };
    let (release, held) = hold_writer(&store);
    let large = join_all((0..20).map(|number| write(of_ann, LARGE, format!("large {number}"))));
    let small = join_all((0..3).map(|number| write(of_bob, 0, format!("small {number}"))));
    let released = async {
        // The writes before it in the `join` have been submitted.
        drop(release);
    };
    let (held, large, small, ()) = tokio::join!(held, large, small, released);
    held.unwrap();
    assert!(large.iter().chain(&small).all(Result::is_ok));
    let executed = executed.lock().unwrap();
    let position = |label: &str| executed.iter().position(|executed| executed == label);
    assert!(position("small 2").unwrap() <= 3, "{executed:?}");
    let of_ann: Vec<_> = executed
        .iter()
        .filter_map(|label| label.strip_prefix("large "))
        .collect();
    let in_order: Vec<_> = (0..20).map(|number: u32| number.to_string()).collect();
    assert_eq!(of_ann, in_order);
}

#[tokio::test]
async fn an_ordinary_write_is_withdrawn_when_its_future_is_dropped() {
    let folder = Folder::new("withdrawn");
    let store = folder.open();
    let job = create(&store, "job_a", 0).await;
    let executed = Arc::new(AtomicUsize::new(0));
    let write = |class| {
        let executed = Arc::clone(&executed);
        store.write(class, job, move |_| {
            executed.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let (release, mut held) = hold_writer(&store);
    assert!((&mut held).now_or_never().is_none());
    let mut ordinary = write(WriteClass::Ordinary);
    assert!((&mut ordinary).now_or_never().is_none());
    let mut result = write(WriteClass::Results);
    assert!((&mut result).now_or_never().is_none());
    assert_eq!(Arc::strong_count(&executed), 3);
    drop(ordinary);
    assert_eq!(Arc::strong_count(&executed), 2, "it holds nothing any more");
    drop(result);
    assert_eq!(Arc::strong_count(&executed), 2, "a result is recorded");
    drop(release);
    held.await.unwrap();
    write(WriteClass::Ordinary).await.unwrap();
    assert_eq!(executed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_write_for_which_the_disk_has_no_room_fails_or_waits_and_the_others_go_on() {
    const HUGE: usize = 1 << 50;
    let folder = Folder::new("huge-write");
    let store = folder.open();
    let executed = Arc::new(AtomicUsize::new(0));
    let write = |class, bytes| {
        let executed = Arc::clone(&executed);
        store.write_bytes(class, WriteOwner::Process, bytes, move |_| {
            executed.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let refused = write(WriteClass::Ordinary, HUGE).await;
    assert_eq!(refused, Err(StoreError::Quota(StorageQuota::Disk)));
    let mut waiting = write(WriteClass::Results, HUGE);
    assert!((&mut waiting).now_or_never().is_none());
    for class in [WriteClass::Ordinary, WriteClass::Work, WriteClass::Removal] {
        write(class, 0).await.unwrap();
    }
    // A removal makes room.
    write(WriteClass::Removal, HUGE).await.unwrap();
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(executed.load(Ordering::SeqCst), 4);
    assert_eq!(store.not_ready_reason(), None);
    store.close();
    assert!(matches!(waiting.await, Err(StoreError::Other(_))));
    assert_eq!(executed.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_small_job_is_removed_in_one_step_when_it_is_its_turn() {
    let folder = Folder::new("removal-turns");
    let store = folder.open();
    let mut jobs = Vec::new();
    for index in 0..3 {
        let job = create(&store, &format!("job_{index}"), 2).await;
        let states = &[Status::Queued];
        let started = store.transition(job, states, Status::Running, 2_000);
        started.await.unwrap();
        let results = vec![finished(0, ItemStatus::Failed)];
        store.record_results(job, results).await.unwrap();
        let end = store.complete(job, Status::Running, job_end(Status::Stopped));
        end.await.unwrap();
        assert!(store.soft_delete(job).await.unwrap());
        jobs.push(job);
    }
    let first = jobs.pop().unwrap();
    let step = store.write(WriteClass::Removal, first, move |connection| {
        removal::remove_step(connection, first)
    });
    assert!(step.await.unwrap(), "one step takes the rows of all tables");
    let turns = all_removal_turns(&store).await;
    let removals = futures_util::future::join_all(
        jobs.iter()
            .map(|job| store.remove(*job, CallerId::default())),
    );
    let write_between = async {
        // The marks of the removals are executed before it, and their steps wait.
        store
            .write(WriteClass::Work, WriteOwner::Process, |_| Ok(()))
            .await
            .unwrap();
        assert_eq!(hidden(&store).await, jobs);
        drop(turns);
    };
    let (removed, ()) = tokio::join!(removals, write_between);
    assert!(removed.into_iter().all(|removed| removed.is_ok()));
    assert_eq!(hidden(&store).await, []);
}

#[tokio::test]
async fn the_removals_of_a_caller_do_not_wait_for_those_of_another() {
    const OTHERS: u32 = 20;
    let folder = Folder::new("removal-callers");
    let store = folder.open();
    let mut others = Vec::new();
    for number in 0..OTHERS {
        let job = new_job(&format!("job_{number}"));
        others.push(create_uploading(&store, job).await.unwrap());
    }
    let own = create_uploading(&store, new_job("job_own")).await.unwrap();
    let turns = all_removal_turns(&store).await;
    let removed = std::sync::Mutex::new(Vec::new());
    let remove = async |job: JobKey, caller: CallerId| {
        store.remove(job, caller).await.unwrap();
        removed.lock().unwrap().push(job);
    };
    let of_others = others.iter().map(|job| remove(*job, CallerId(1)));
    let of_others = futures_util::future::join_all(of_others);
    let release = async {
        // The jobs are marked before their removals wait for a turn.
        for job in others.iter().chain([&own]) {
            while store.job_by_key(*job).await.unwrap().unwrap().status != Status::Deleting {
                tokio::task::yield_now().await;
            }
        }
        drop(turns);
    };
    let all = async { tokio::join!(of_others, remove(own, CallerId(2)), release) };
    let ended = tokio::time::timeout(Duration::from_secs(60), all).await;
    ended.expect("all are removed");
    let removed = removed.into_inner().unwrap();
    let before_own = removed.iter().position(|job| *job == own).unwrap();
    assert!(before_own < others.len() / 2, "{before_own} came before");
}

async fn all_removal_turns(store: &Sqlite) -> Vec<throttle::FairPermit> {
    let mut turns = Vec::new();
    for _ in 0..MAX_REMOVAL_STEPS {
        turns.push(store.removal_turns.acquire(CallerId::default(), 1).await);
    }
    turns
}
