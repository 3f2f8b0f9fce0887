//! Reads that take long, and the write-ahead log, which grows while they overlap.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::jobs::store::MAX_PAGE_BYTES;

/// Maximum time of a search that is ended before.
const LONG: Duration = Duration::from_secs(60);

/// Counts for about a minute.
fn count(connection: &Connection) -> rusqlite::Result<u32> {
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500000000)
               SELECT max(n) FROM numbers";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Counts as [`count`] does, and keeps the store as it was at the beginning, once `begun` has been raised.
fn count_with_snapshot(connection: &Connection, begun: &AtomicU32) -> rusqlite::Result<u32> {
    let snapshot = connection.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM jobs", [], |_| Ok(()))?;
    begun.fetch_add(1, Ordering::SeqCst);
    count(&snapshot)
}

/// Returns the length of the write-ahead log's file.
pub fn log_len(folder: &Folder) -> u64 {
    let log = folder.file().with_extension("db-wal");
    std::fs::metadata(log).unwrap().len()
}

/// Waits until `number` is at least `least`.
pub async fn until_at_least(number: &AtomicU32, least: u32) {
    for _ in 0..10_000 {
        if number.load(Ordering::SeqCst) >= least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no {least} within ten seconds");
}

/// Starts a search that takes long and finds nothing. `begun` counts how often it has read the store.
pub fn start_search(searches: &mut JoinSet<()>, store: &Arc<Sqlite>, begun: &Arc<AtomicU32>) {
    let (store, begun) = (Arc::clone(store), Arc::clone(begun));
    searches.spawn(async move {
        let search = store.search(LONG, move |connection| {
            count_with_snapshot(connection, &begun)
        });
        search.await.unwrap_err();
    });
}

#[tokio::test]
async fn the_log_stays_short_while_searches_overlap() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: u32 = 40;
    let folder = Folder::new("short-log");
    let store = Arc::new(folder.open());
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let (begun, mut searches) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    for _ in 0..3 {
        start_search(&mut searches, &store, &begun);
    }
    until_at_least(&begun, 3).await;
    let mut longest = 0;
    for index in 0..CHUNKS {
        let chunk = vec![vec![b'x'; CHUNK]];
        store.add_inputs(job, index, chunk).await.unwrap();
        longest = longest.max(log_len(&folder));
    }
    assert!(longest < 20 * CHUNK as u64, "{longest} bytes");
    // They begin again, as long as they have time.
    until_at_least(&begun, 4).await;
    assert!(searches.try_join_next().is_none());
}

#[tokio::test]
async fn a_search_that_ends_for_the_log_without_a_result_is_run_again() {
    let folder = Folder::new("again");
    let store = Arc::new(folder.open());
    let runs = Arc::new(AtomicU32::new(0));
    let mut searches = JoinSet::new();
    searches.spawn({
        let (store, runs) = (Arc::clone(&store), Arc::clone(&runs));
        async move {
            let search = store.search(LONG, move |connection| {
                if runs.load(Ordering::SeqCst) == 0 {
                    return count_with_snapshot(connection, &runs);
                }
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(7)
            });
            search.await
        }
    });
    until_at_least(&runs, 1).await;
    // A read that is no search does not end.
    let read = store.query(|connection| {
        let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300000)
                   SELECT max(n) FROM numbers";
        connection.query_row(sql, [], |row| row.get::<_, u32>(0))
    });
    let truncate = async {
        for _ in 0..100 {
            if store.vacuum_step().await.unwrap() {
                return;
            }
        }
        panic!("the log is not truncated");
    };
    let (number, ()) = tokio::join!(read, truncate);
    assert_eq!(number, Ok(300_000));
    assert_eq!(searches.join_next().await.unwrap().unwrap(), Ok(7));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(log_len(&folder), 0);
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_interrupted_and_its_connection_is_usable() {
    let folder = Folder::new("long-read");
    let store = folder.open();
    let read = store.search(Duration::ZERO, count);
    assert_eq!(read.await.unwrap_err(), StoreError::TooLong);
    assert_eq!(store.job("job_a".to_owned()).await.unwrap(), None);
    assert_eq!(store.not_ready_reason(), None);
}

#[tokio::test]
async fn a_read_ends_when_nobody_waits_for_it() {
    let folder = Folder::new("dropped-read");
    let store = Arc::new(folder.open());
    let (started, is_started) = tokio::sync::oneshot::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let read = store.query(move |connection| {
                started.send(()).unwrap();
                let is_interrupted = count(connection).is_err();
                ended.send(is_interrupted).unwrap();
                Ok(())
            });
            read.await
        }
    });
    is_started.await.unwrap();
    reading.abort();
    assert!(end.await.unwrap(), "the read was interrupted");
}

#[tokio::test]
async fn a_page_of_inputs_has_up_to_its_maximum_of_bytes() {
    const INPUT: usize = MAX_PAGE_BYTES / 4;
    let folder = Folder::new("page-of-inputs");
    let store = folder.open();
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let inputs = vec![vec![b'x'; INPUT]; 5];
    store.add_inputs(job, 0, inputs).await.unwrap();
    let size = store.pending_size(job, 0, 10).await.unwrap();
    assert_eq!((size.rows, size.bytes), (4, MAX_PAGE_BYTES));
    assert_eq!(store.pending(job, 0, 10).await.unwrap().len(), 4);
}
