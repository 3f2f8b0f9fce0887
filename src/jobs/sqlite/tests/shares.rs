//! Shares of several callers in what is stored.

use super::*;

/// Bytes that each input counts, with those for its rows.
const INPUT_BYTES: u64 = 1_000;

async fn begin(store: &Sqlite, caller: &str) -> JobKey {
    let job = NewJob {
        caller: caller.to_owned(),
        ..new_job(&format!("job_{caller}"))
    };
    create_uploading(store, job).await.unwrap()
}

/// Adds inputs to a job that has `inputs` until one is refused. Returns their number then, and the reason of the refusal.
async fn fill(store: &Sqlite, job: JobKey, mut inputs: u32) -> (u32, StoreError) {
    loop {
        let input = vec![b'x'; 488];
        match store.add_inputs(job, inputs, vec![input]).await {
            Ok(()) => inputs += 1,
            Err(error) => return (inputs, error),
        }
    }
}

#[tokio::test]
async fn one_of_several_callers_stores_at_most_as_much_as_it_leaves() {
    const MAX: u64 = 10 * INPUT_BYTES;
    let folder = Folder::new("shares");
    let limits = StorageLimits {
        max_bytes: MAX,
        ..StorageLimits::default()
    };
    let store = folder.open().with_limits(limits);
    store.set_has_several_callers(true);
    let share = StoreError::Quota(StorageQuota::ShareOfAllBytes { max: MAX });
    let of_ann = begin(&store, "ann").await;
    assert_eq!(fill(&store, of_ann, 0).await, (4, share.clone()));
    let of_bob = begin(&store, "bob").await;
    assert_eq!(fill(&store, of_bob, 0).await, (2, share));
    store.set_has_several_callers(false);
    let full = StoreError::Quota(StorageQuota::AllBytes { max: MAX });
    assert_eq!(fill(&store, of_ann, 4).await, (7, full));
}

#[tokio::test]
async fn a_caller_stores_up_to_its_maximum_of_jobs_and_of_bytes() {
    /// Bytes of the spec and the metadata of a job.
    const JOB_BYTES: u64 = 11;
    const MAX: u64 = 2 * JOB_BYTES + 3 * INPUT_BYTES;
    let folder = Folder::new("maximum");
    let limits = StorageLimits {
        max_jobs_per_caller: 2,
        max_bytes_per_caller: MAX,
        ..StorageLimits::default()
    };
    let store = folder.open().with_limits(limits);
    let first = create_uploading(&store, new_job("job_1")).await.unwrap();
    create_uploading(&store, new_job("job_2")).await.unwrap();
    let third = store.create_uploading(new_job("job_3")).await;
    assert_eq!(third, Err(StoreError::Quota(StorageQuota::Jobs { max: 2 })));
    begin(&store, "bob").await;
    let full = StoreError::Quota(StorageQuota::Bytes { max: MAX });
    assert_eq!(fill(&store, first, 0).await, (3, full));
}

/// Nothing is written: each check is of a write that is as large as a part of the disk.
#[tokio::test]
async fn one_of_several_callers_leaves_room_on_the_disk() {
    let folder = Folder::new("disk-share");
    let store = folder.open();
    let job = begin(&store, "ann").await;
    let room = store.query(disk_room::find).await.unwrap();
    // Other tests write meanwhile.
    let quarter = room.expect("the disk is not full") / 4;
    let check = async |bytes: u64| {
        let limits = store.current_limits();
        let checked = store.write(WriteClass::Ordinary, job, move |connection| {
            limits.check_more(connection, job, bytes)
        });
        checked.await
    };
    let full = Err(StoreError::Quota(StorageQuota::Disk));
    assert_eq!(check(3 * quarter).await, Ok(()), "nobody else has a share");
    assert_eq!(check(5 * quarter).await, full);
    store.set_has_several_callers(true);
    assert_eq!(check(quarter).await, Ok(()));
    let share = Err(StoreError::Quota(StorageQuota::ShareOfDisk));
    assert_eq!(check(3 * quarter).await, share);
    assert_eq!(check(5 * quarter).await, full);
}
