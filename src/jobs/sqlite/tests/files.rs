//! Files of the store: copies, the write-ahead log, free space, and a folder that is moved.

use super::*;

fn file_len(folder: &Folder) -> u64 {
    std::fs::metadata(folder.file()).unwrap().len()
}

#[tokio::test]
async fn a_backup_is_whole_and_replaces_no_file() {
    let folder = Folder::new("backup");
    let store = folder.open();
    create(&store, "job_a", 3).await;
    let copy = folder.0.join("copy.db");
    back_up(&folder.file(), &copy).unwrap();
    assert!(!folder.0.join("copy.db.partial").exists());
    back_up(&folder.file(), &copy).unwrap_err();
    let copied = Sqlite::open(&copy).unwrap();
    let job = copied.job("job_a".to_owned()).await.unwrap();
    assert_eq!(job.unwrap().counts.total, 3);
}

#[tokio::test]
async fn each_store_has_a_secret_of_its_own() {
    let folders = ["secret-a", "secret-b"].map(Folder::new);
    let [a, b] = folders.each_ref().map(|folder| folder.open().secret());
    assert!(a.is_some() && a != b);
}

#[tokio::test]
async fn a_closed_store_is_one_file_and_neither_read_nor_written() {
    let folder = Folder::new("closed");
    let store = folder.open();
    let job = create(&store, "job_a", 3).await;
    assert!(store.job("job_a".to_owned()).await.unwrap().is_some());
    store.close();
    assert!(!identity::log_path(&folder.file()).exists());
    store.job("job_a".to_owned()).await.unwrap_err();
    store.cancel(job).await.unwrap_err();
}

#[tokio::test]
async fn a_long_log_is_copied_into_the_file() {
    const CHUNK: usize = 1 << 20;
    let folder = Folder::new("long-log");
    let store = folder.open();
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    for index in 0..6 {
        let chunk = vec![vec![b'x'; CHUNK]];
        store.add_inputs(job, index, chunk).await.unwrap();
    }
    let copied = file_len(&folder);
    assert!(copied > 3 * CHUNK as u64, "{copied} bytes");
}

#[tokio::test]
async fn the_space_of_a_removed_job_is_given_back() {
    const INPUTS: usize = 4;
    const INPUT: usize = 1 << 20;
    let folder = Folder::new("space");
    let store = folder.open();
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let inputs = vec![vec![b'x'; INPUT]; INPUTS];
    store.add_inputs(job, 0, inputs).await.unwrap();
    let vacuum = async || {
        for _ in 0..100 {
            if store.vacuum_step().await.unwrap() {
                return file_len(&folder);
            }
        }
        panic!("it does not end");
    };
    assert!(vacuum().await > (INPUTS * INPUT) as u64);
    store.remove(job, CallerId::default()).await.unwrap();
    let left = vacuum().await;
    assert!(left < INPUT as u64, "{left} bytes");
}

/// Waits until `is_met` returns true.
async fn until(is_met: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds");
}

#[tokio::test]
async fn a_store_that_nobody_uses_notices_that_its_folder_is_moved_and_put_back() {
    let folder = Folder::new("moved");
    let store = folder.open();
    let aside = folder.0.with_extension("aside");
    std::fs::rename(&folder.0, &aside).unwrap();
    until(|| matches!(store.not_ready_reason(), Some(StoreError::Gone(_)))).await;
    std::fs::rename(&aside, &folder.0).unwrap();
    until(|| store.not_ready_reason().is_none()).await;
}
