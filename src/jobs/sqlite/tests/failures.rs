//! Failures of the disk: which are waited out, and which stop the store.

use std::sync::atomic::AtomicU32;

use super::reads::{log_len, start_reads, until_at_least};
use super::*;

/// Returns an error of SQLite with this extended code.
fn sqlite_error(extended_code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended_code), None)
}

#[test]
fn only_a_failed_write_without_space_is_a_full_disk() {
    use rusqlite::ffi;
    use rustix::io::Errno;
    let (no_space, broken) = (Errno::NOSPC.raw_os_error(), Errno::IO.raw_os_error());
    let full = error::from_errno(&sqlite_error(ffi::SQLITE_FULL), 0);
    assert_eq!(full, StoreError::Full);
    let writes = [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    for write in writes {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let error = error::from_errno(&sqlite_error(write), errno.raw_os_error());
            assert_eq!(error, StoreError::Full, "{write}, {errno}");
        }
        for errno in [broken, 0] {
            let error = error::from_errno(&sqlite_error(write), errno);
            assert!(matches!(error, StoreError::Io(_)), "{write}, {errno}");
        }
    }
    let others = [
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_TRUNCATE,
    ];
    for other in others {
        let error = error::from_errno(&sqlite_error(other), no_space);
        assert!(matches!(error, StoreError::Io(_)), "{other}: {error:?}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_has_a_reason_that_can_be_mended() {
    use std::io::ErrorKind;
    let path = std::path::Path::new("/data/extractd.db");
    let opened = |kind: ErrorKind| error::from_open(path, &kind.into());
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        assert_eq!(opened(kind), StoreError::Full);
    }
    for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
        assert_eq!(opened(kind), StoreError::ReadOnly);
    }
    let StoreError::Unopened(reason) = opened(ErrorKind::NotADirectory) else {
        panic!("it may be opened later");
    };
    assert!(reason.contains("/data/extractd.db"), "{reason}");
}

#[tokio::test]
async fn writes_resume_when_a_full_disk_has_room_again() {
    let folder = Folder::new("full");
    let store = Arc::new(folder.open());
    let job = create(&store, "job_a", 2).await;
    let is_full = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let full = {
        let is_full = Arc::clone(&is_full);
        move |_: &Connection| {
            let full = || {
                rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                    None,
                )
            };
            if is_full.load(std::sync::atomic::Ordering::SeqCst) {
                Err(full())
            } else {
                Ok(())
            }
        }
    };
    let spawn = |store: &Arc<Sqlite>| {
        let (store, full) = (Arc::clone(store), full.clone());
        tokio::spawn(async move {
            store
                .write(WriteClass::Work, WriteOwner::Process, full)
                .await
        })
    };
    let waiting = spawn(&store);
    let rejected = async {
        loop {
            // Until it shares a transaction with the failing write.
            if let Err(error) = store.add_inputs(job, 100, vec![]).await {
                return error;
            }
        }
    };
    assert_eq!(
        rejected.await,
        StoreError::Full,
        "a write without retry fails at once"
    );
    assert_eq!(store.not_ready_reason(), Some(StoreError::Full));
    let recorded = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            store
                .record_results(job, vec![finished(0, ItemStatus::Succeeded)])
                .await
        }
    });
    assert_eq!(
        store
            .job("job_a".to_owned())
            .await
            .unwrap()
            .unwrap()
            .counts
            .total,
        2,
        "reads still succeed"
    );
    assert!(!recorded.is_finished());
    is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(recorded.await.unwrap().unwrap().counts.succeeded, 1);
    waiting.await.unwrap().unwrap();
    assert_eq!(store.not_ready_reason(), None);
}

#[tokio::test]
async fn reads_that_overlap_do_not_keep_the_log_of_a_full_disk() {
    const BYTES: usize = 1 << 20;
    let folder = Folder::new("full-log");
    let store = Arc::new(folder.open());
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let chunk = vec![vec![b'x'; BYTES]];
    store.add_inputs(job, 0, chunk).await.unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let _reads = start_reads(&store, &begun);
    until_at_least(&begun, 3).await;
    assert!(log_len(&folder) >= BYTES as u64);
    let full = store.write(WriteClass::Ordinary, WriteOwner::Process, |_| {
        Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_FULL))
    });
    assert_eq!(full.await, Err(StoreError::Full));
    for _ in 0..1_000 {
        if log_len(&folder) < BYTES as u64 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the log is not truncated while reads overlap");
}

#[tokio::test]
async fn a_failed_fsync_stops_the_store_without_a_retry() {
    let folder = Folder::new("fsync");
    let store = folder.open();
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let failing = store.write(WriteClass::Work, WriteOwner::Process, move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR_FSYNC))
    });
    assert!(matches!(failing.await, Err(StoreError::Io(_))));
    assert!(matches!(store.not_ready_reason(), Some(StoreError::Io(_))));
    // Later writes fail at once, also those that are retried while the disk is full.
    let later = store.write(WriteClass::Work, WriteOwner::Process, |_| Ok(()));
    assert!(matches!(later.await, Err(StoreError::Io(_))));
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_store_that_has_failed_leaves_its_log_to_the_next_start() {
    let folder = Folder::new("log-left");
    let store = folder.open();
    create(&store, "job_a", 2).await;
    let before = std::fs::read(folder.file()).unwrap();
    let failing = store.write(WriteClass::Work, WriteOwner::Process, |_| {
        Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR_FSYNC))
    });
    assert!(matches!(failing.await, Err(StoreError::Io(_))));
    assert!(matches!(store.vacuum_step().await, Err(StoreError::Io(_))));
    drop(store);
    assert!(std::fs::read(folder.file()).unwrap() == before);
    assert!(log_len(&folder) > 0);

    // After a failed sync, the kernel may hold pages that are not on the disk, which a later sync does not write.
    let log = identity::log_path(&folder.file());
    let bytes = std::fs::read(&log).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    let opened = std::fs::File::options().write(true).open(&log);
    opened.unwrap().set_modified(old).unwrap();
    opening::rewrite_log(&log).unwrap();
    assert!(std::fs::metadata(&log).unwrap().modified().unwrap() > old);
    assert!(std::fs::read(&log).unwrap() == bytes);
    let store = folder.open();
    assert!(store.job("job_a".to_owned()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_failed_read_stops_the_store_until_a_restart() {
    let folder = Folder::new("failed-read");
    let store = folder.open();
    let failing = store.query(|_| Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR_READ)));
    assert!(matches!(failing.await, Err(StoreError::Io(_))));
    assert!(matches!(store.not_ready_reason(), Some(StoreError::Io(_))));
    let write = store.write(WriteClass::Work, WriteOwner::Process, |_| Ok(()));
    assert!(matches!(write.await, Err(StoreError::Io(_))));
    drop(store);
    let store = folder.open();
    assert_eq!(store.not_ready_reason(), None);
    store
        .write(WriteClass::Work, WriteOwner::Process, |_| Ok(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_damaged_file_stops_the_store_until_a_restart() {
    for is_read in [true, false] {
        let folder = Folder::new(if is_read { "damaged-read" } else { "damaged" });
        let store = folder.open();
        let fail = || Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_CORRUPT));
        let failed = if is_read {
            store.query(move |_| fail()).await
        } else {
            let write = store.write(WriteClass::Work, WriteOwner::Process, move |_| fail());
            write.await
        };
        assert!(matches!(failed, Err(StoreError::Corrupt(_))));
        assert!(matches!(
            store.not_ready_reason(),
            Some(StoreError::Corrupt(_))
        ));
        let later = store.write(WriteClass::Work, WriteOwner::Process, |_| Ok(()));
        assert!(matches!(later.await, Err(StoreError::Corrupt(_))));
    }
}
