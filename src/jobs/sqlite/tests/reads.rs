//! Reads that take long.

use super::*;

/// Counts for about a minute.
fn count(connection: &Connection) -> rusqlite::Result<u32> {
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500000000)
               SELECT max(n) FROM numbers";
    connection.query_row(sql, [], |row| row.get(0))
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_interrupted_and_its_connection_is_usable() {
    let folder = Folder::new("long-read");
    let store = folder.open();
    let read = store.query_within(Some(Duration::ZERO), count);
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
