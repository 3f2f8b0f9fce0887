//! Reads: their length, and the write-ahead log, which grows while they overlap.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinSet;

use super::super::page::MAX_ROWS_PER_READ;
use super::*;
use crate::jobs::store::MAX_PAGE_BYTES;

/// Counts to `max`; ten millions take about a second.
fn count(connection: &Connection, max: u32) -> rusqlite::Result<u32> {
    let sql =
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
               SELECT max(n) FROM numbers";
    connection.query_row(sql, [max], |row| row.get(0))
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

/// Starts reads that overlap without end, each of which keeps the store as it was at its beginning. `begun` counts them.
pub fn start_reads(store: &Arc<Sqlite>, begun: &Arc<AtomicU32>) -> JoinSet<()> {
    let mut reads = JoinSet::new();
    for _ in 0..3 {
        let (store, begun) = (Arc::clone(store), Arc::clone(begun));
        reads.spawn(async move {
            loop {
                let begun = Arc::clone(&begun);
                let read = store.query(move |connection| {
                    let snapshot = connection.unchecked_transaction()?;
                    snapshot.query_row("SELECT count(*) FROM jobs", [], |_| Ok(()))?;
                    begun.fetch_add(1, Ordering::SeqCst);
                    count(&snapshot, 200_000)
                });
                read.await.unwrap();
            }
        });
    }
    reads
}

#[tokio::test]
async fn the_log_stays_short_while_reads_overlap() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: u32 = 40;
    let folder = Folder::new("short-log");
    let store = Arc::new(folder.open());
    let job = create_uploading(&store, new_job("job_a")).await.unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let mut reads = start_reads(&store, &begun);
    until_at_least(&begun, 3).await;
    let mut longest = 0;
    for index in 0..CHUNKS {
        let chunk = vec![vec![b'x'; CHUNK]];
        store.add_inputs(job, index, chunk).await.unwrap();
        longest = longest.max(log_len(&folder));
    }
    assert!(longest < 20 * CHUNK as u64, "{longest} bytes");
    let so_far = begun.load(Ordering::SeqCst);
    until_at_least(&begun, so_far + 4).await;
    assert!(reads.try_join_next().is_none(), "a read failed");
}

#[tokio::test]
async fn results_are_found_in_reads_of_bounded_length() {
    const ITEMS: u32 = 2 * MAX_ROWS_PER_READ + 2;
    const LAST: u32 = ITEMS - 1;
    let folder = Folder::new("bounded-results");
    let store = folder.open();
    let job = create(&store, "job_a", ITEMS).await;
    let status = |index| match index {
        LAST => ItemStatus::Failed,
        _ => ItemStatus::Succeeded,
    };
    let results = (0..ITEMS).map(|index| finished(index, status(index)));
    store.record_results(job, results.collect()).await.unwrap();
    for order in [ResultOrder::Input, ResultOrder::Completion] {
        let found = async |only, after| {
            let page = PageSize::of_rows(2);
            numbers(&store.results(job, order, only, after, page).await.unwrap())
        };
        let failed = Some(ItemStatus::Failed);
        assert_eq!(
            found(failed, None).await,
            [(ITEMS, Some(LAST))],
            "{order:?}"
        );
        let invalid = found(Some(ItemStatus::Invalid), None).await;
        assert!(invalid.is_empty(), "{order:?}");
        assert!(found(failed, Some(ITEMS)).await.is_empty(), "{order:?}");
        let query = item_queries::ResultQuery {
            order,
            only: failed,
            page: PageSize::of_rows(2),
        };
        let first =
            store.query(move |connection| item_queries::results(connection, job, &query, 0));
        let first = first.await.unwrap();
        assert!(
            matches!(first, Scan::GoOn(next) if next == MAX_ROWS_PER_READ),
            "{order:?}: {first:?}"
        );
    }
}

/// Pages of each order and status, of each size, are those of a plain list of the results, whatever has not ended yet.
#[tokio::test]
async fn pages_of_results_are_those_of_a_plain_list() {
    const ITEMS: u32 = 60;
    let folder = Folder::new("result-pages");
    let store = folder.open();
    let mut random = fastrand::Rng::with_seed(7);
    for (round, open) in [0, 1, 20, 59].into_iter().enumerate() {
        let job = create(&store, &format!("job_{round}"), ITEMS).await;
        let mut indices: Vec<u32> = (0..ITEMS).collect();
        random.shuffle(&mut indices);
        let ended: Vec<_> = indices
            .drain(open..)
            .map(|index| {
                finished(
                    index,
                    ItemStatus::ALL[random.usize(..ItemStatus::ALL.len())],
                )
            })
            .collect();
        let first_open = indices.iter().min().copied().unwrap_or(ITEMS);
        let mut recorded: Vec<(u32, Option<u32>, ItemStatus)> = Vec::new();
        for (number, item) in (1..).zip(&ended) {
            recorded.push((number, Some(item.index), item.status));
        }
        store.record_results(job, ended).await.unwrap();
        for order in [ResultOrder::Input, ResultOrder::Completion] {
            let mut list = recorded.clone();
            if order == ResultOrder::Input {
                list.retain(|(_, index, _)| index.is_some_and(|index| index < first_open));
                list.sort_by_key(|(_, index, _)| *index);
            }
            for only in ItemStatus::ALL.into_iter().map(Some).chain([None]) {
                let expected: Vec<_> = list
                    .iter()
                    .filter(|(_, _, status)| only.is_none_or(|only| only == *status))
                    .map(|(number, index, _)| (*number, *index))
                    .collect();
                for rows in [1, 7, 100] {
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let page = PageSize::of_rows(rows);
                        let page = store.results(job, order, only, after, page).await.unwrap();
                        let page = numbers(&page);
                        let Some((number, index)) = page.last() else {
                            break;
                        };
                        after = match order {
                            ResultOrder::Input => *index,
                            ResultOrder::Completion => Some(*number),
                        };
                        found.extend(page);
                    }
                    assert_eq!(found, expected, "{open} open, {order:?}, {only:?}, {rows}");
                }
            }
        }
    }
}

#[tokio::test]
async fn jobs_are_found_in_reads_of_bounded_length() {
    const JOBS: u32 = 80;
    let folder = Folder::new("bounded-jobs");
    let store = folder.open();
    let long = "x".repeat(60 << 10);
    for number in 0..JOBS {
        let mut job = new_job(&format!("job_{number}"));
        let team = if number == 0 { "a" } else { "b" };
        let metadata = serde_json::json!({"team": team, "notes": long});
        job.metadata = serde_json::from_value(metadata).unwrap();
        let key = create_uploading(&store, job).await.unwrap();
        store.finalize(key, 0, DIGEST).await.unwrap();
    }
    let filter = JobFilter {
        metadata: vec![("team".to_owned(), "a".to_owned())],
        ..JobFilter::default()
    };
    let found = store.jobs("ann".to_owned(), filter.clone(), None, 2);
    let found: Vec<_> = found.await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(found, ["job_0"]);
    let first = store.query(move |connection| {
        queries::jobs_of_caller(connection, "ann", &filter, u32::MAX, 2, 0)
    });
    let first = first.await.unwrap();
    assert!(matches!(first, Scan::GoOn(_)), "{first:?}");
}

#[tokio::test]
async fn a_page_of_jobs_and_a_read_of_them_have_up_to_their_maximum_of_bytes() {
    const JOBS: usize = 40;
    let folder = Folder::new("bytes-of-jobs");
    let store = folder.open();
    let long = "x".repeat(60 << 10);
    let mut keys = Vec::new();
    for number in 0..JOBS {
        let mut job = new_job(&format!("job_{number}"));
        let metadata = serde_json::json!({"notes": long});
        job.metadata = serde_json::from_value(metadata).unwrap();
        let key = create_uploading(&store, job).await.unwrap();
        store.finalize(key, 0, DIGEST).await.unwrap();
        keys.push(key);
    }
    let read = async |filter: JobFilter| {
        let read = store.query(move |connection| {
            queries::jobs_of_caller(connection, "ann", &filter, u32::MAX, 100, 0)
        });
        read.await.unwrap()
    };
    let Scan::Page(page) = read(JobFilter::default()).await else {
        panic!("the newest jobs fill a page");
    };
    assert_eq!(page.len(), 18, "more than 1 MiB of metadata");
    let pair = ("team".to_owned(), "a".to_owned());
    let filter = JobFilter {
        metadata: vec![pair.clone(), pair],
        ..JobFilter::default()
    };
    // The metadata is looked at twice.
    let Scan::GoOn(next) = read(filter).await else {
        panic!("no job matches");
    };
    assert_eq!(next, keys[JOBS - 35].0, "more than 4 MiB of metadata");
}

#[tokio::test]
async fn a_read_of_jobs_looks_at_a_bounded_number_of_rows() {
    let folder = Folder::new("rows-of-jobs");
    let store = folder.open();
    let file = Connection::open(folder.file()).unwrap();
    let sql = "INSERT INTO jobs (id, caller, status, created_at)
               WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
               SELECT 'job_' || n, 'ann', ?2, 0 FROM numbers";
    let rows = (MAX_ROWS_PER_READ + 1, Status::Queued as i64);
    file.execute(sql, rows).unwrap();
    let filter = JobFilter {
        metadata: vec![("team".to_owned(), "a".to_owned())],
        ..JobFilter::default()
    };
    let read = store.query(move |connection| {
        queries::jobs_of_caller(connection, "ann", &filter, u32::MAX, 100, 0)
    });
    let read = read.await.unwrap();
    assert!(matches!(read, Scan::GoOn(2)), "{read:?}");
}

#[tokio::test]
async fn a_job_without_metadata_is_listed_with_its_error() {
    let folder = Folder::new("listed-error");
    let store = folder.open();
    let mut job = new_job("job_a");
    job.metadata = None;
    let job = create_uploading(&store, job).await.unwrap();
    store.finalize(job, 0, DIGEST).await.unwrap();
    let error = r#"{"code":"internal","detail":"a failed read"}"#;
    let end = JobEnd {
        error: Some(error.to_owned()),
        ..job_end(Status::Failed)
    };
    store.complete(job, Status::Queued, end).await.unwrap();
    let listed = store.jobs("ann".to_owned(), JobFilter::default(), None, 10);
    let [listed] = listed.await.unwrap().try_into().unwrap();
    assert!(format!("{:?}", listed.error).contains("a failed read"));
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
                let is_interrupted = count(connection, 500_000_000).is_err();
                ended.send(is_interrupted).unwrap();
                Ok(())
            });
            read.await
        }
    });
    is_started.await.unwrap();
    reading.abort();
    assert!(end.await.unwrap(), "the read was interrupted");
    // Its connection can be used again.
    assert_eq!(store.job("job_a".to_owned()).await.unwrap(), None);
    assert_eq!(store.not_ready_reason(), None);
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
