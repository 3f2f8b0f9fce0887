use super::*;
use crate::jobs::store::{Counts, Idempotency};
use crate::model::Usage;

/// A folder of its own, gone with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("extractd-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("extractd.db")
    }

    fn open(&self) -> Sqlite {
        Sqlite::open(&self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn new_job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        caller: "ann".to_owned(),
        spec: "{}".to_owned(),
        metadata: Some([("k".to_owned(), "v".to_owned())].into()),
        created_at: 1_000,
        idempotency: None,
    }
}

async fn made(store: &Sqlite, id: &str, items: u32) -> JobKey {
    let key = store.begin(new_job(id)).await.unwrap().unwrap();
    store.add_inputs(key, 0, (0..items).map(|index| index.to_string().into_bytes()).collect()).await.unwrap();
    store.commit(key, items).await.unwrap();
    key
}

fn done(index: u32, status: ItemStatus) -> Finished {
    Finished { index, status, body: format!("r{index}").into_bytes(), usage: Usage::new(10, 5) }
}

fn numbers(events: &[Event]) -> Vec<(u32, Option<u32>)> {
    events.iter().map(|event| (event.number, event.item.map(|(index, _)| index))).collect()
}

#[tokio::test]
async fn a_job_is_worked_off_and_its_events_have_no_gap() {
    let folder = Folder::new("whole");
    let store = folder.open();
    let job = made(&store, "job_a", 4).await;
    assert!(store.turn(job, &[Status::Queued], Status::Running, 2_000, None).await.unwrap());
    assert!(!store.turn(job, &[Status::Queued], Status::Running, 2_000, None).await.unwrap(), "it runs");
    let pending = store.pending(job, 0, 10).await.unwrap();
    assert_eq!(pending.iter().map(|item| item.input.as_slice()).collect::<Vec<_>>(), [b"0", b"1", b"2", b"3"]);
    store.lease(job, vec![0, 1, 2, 3]).await.unwrap();
    assert_eq!(store.finish(job, vec![done(2, ItemStatus::Succeeded), done(0, ItemStatus::Failed)]).await.unwrap(), 2);
    assert_eq!(store.finish(job, vec![done(2, ItemStatus::Failed), done(3, ItemStatus::Succeeded)]).await.unwrap(), 3);
    let left = store.pending(job, 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.index).collect::<Vec<_>>(), [1]);
    let by = async |order, only, after| numbers(&store.results(job, order, only, after, 10).await.unwrap());
    assert_eq!(by(Order::Input, None, None).await, [(2, Some(0))], "before the first that is not done");
    assert_eq!(by(Order::Completion, None, None).await, [(1, Some(2)), (2, Some(0)), (3, Some(3))]);
    assert_eq!(by(Order::Completion, Some(ItemStatus::Failed), None).await, [(2, Some(0))]);
    store.finish(job, vec![done(1, ItemStatus::Invalid)]).await.unwrap();
    let end = End { body: b"{}".to_vec(), expires_at: 9_000, error: None };
    assert!(store.turn(job, &[Status::Running], Status::Completed, 3_000, Some(end)).await.unwrap());
    assert_eq!(numbers(&store.events(job, 1, 10).await.unwrap()), [(2, Some(0)), (3, Some(3)), (4, Some(1)), (5, None)]);
    assert_eq!(by(Order::Input, None, Some(0)).await, [(4, Some(1)), (1, Some(2)), (3, Some(3))]);
    let found = store.job("job_a".to_owned(), "ann".to_owned()).await.unwrap().unwrap();
    assert_eq!(found.counts, Counts { total: 4, succeeded: 2, failed: 1, invalid: 1, cancelled: 0 });
    assert_eq!((found.status, found.last_event, found.usage.total_tokens), (Status::Completed, 5, 60));
    assert_eq!((found.started_at, found.finished_at), (Some(2_000), Some(3_000)));
    assert_eq!(store.job("job_a".to_owned(), "bob".to_owned()).await.unwrap(), None, "it is another's");
    assert_eq!(store.expired(8_999).await.unwrap(), []);
    assert_eq!(store.expired(9_000).await.unwrap(), [job]);
    store.remove(job).await.unwrap();
    assert_eq!(store.jobs("ann".to_owned(), None, 10).await.unwrap(), []);
    assert_eq!(store.events(job, 0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn it_survives_the_process_and_an_upload_that_broke_off_does_not() {
    let folder = Folder::new("again");
    let store = folder.open();
    let job = made(&store, "job_a", 3).await;
    let broken = store.begin(new_job("job_b")).await.unwrap().unwrap();
    store.add_inputs(broken, 0, vec![b"x".to_vec()]).await.unwrap();
    assert_eq!(store.jobs("ann".to_owned(), None, 10).await.unwrap().len(), 1, "it is not seen");
    store.turn(job, &[Status::Queued], Status::Running, 2_000, None).await.unwrap();
    store.lease(job, vec![0, 1, 2]).await.unwrap();
    store.finish(job, vec![done(0, ItemStatus::Succeeded)]).await.unwrap();
    store.release(job, vec![1]).await.unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(store.unfinished().await.unwrap().iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["job_a"]);
    let pending = store.pending(job, 0, 10).await.unwrap();
    assert_eq!(pending.iter().map(|item| (item.index, item.lost)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    assert!(store.pending(broken, 0, 10).await.unwrap().is_empty());
    let next = store.begin(new_job("job_c")).await.unwrap().unwrap();
    assert!(next > broken, "a number is never used twice");
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job() {
    let folder = Folder::new("idempotent");
    let store = folder.open();
    let with = |id: &str, caller: &str, at| NewJob {
        caller: caller.to_owned(),
        created_at: at,
        idempotency: Some(Idempotency { key: "K".to_owned(), until: at + 100 }),
        ..new_job(id)
    };
    let first = store.begin(with("job_a", "ann", 1)).await.unwrap().unwrap();
    store.commit(first, 0).await.unwrap();
    assert_eq!(store.begin(with("job_b", "ann", 50)).await.unwrap().unwrap_err().id, "job_a");
    assert!(store.begin(with("job_c", "bob", 50)).await.unwrap().is_ok(), "another caller's");
    assert!(store.begin(with("job_d", "ann", 101)).await.unwrap().is_ok(), "its time is over");
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused_with_the_reason() {
    let folder = Folder::new("refused");
    std::fs::write(folder.file(), b"this is no database, and long enough to be read as a header of one").unwrap();
    assert!(matches!(Sqlite::open(&folder.file()), Err(StoreError::Corrupt(_))));
    std::fs::remove_file(folder.file()).unwrap();
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    assert!(matches!(Sqlite::open(&folder.file()), Err(StoreError::Corrupt(_))));
    std::fs::remove_file(folder.file()).unwrap();
    drop(folder.open());
    Connection::open(folder.file()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert_eq!(Sqlite::open(&folder.file()).unwrap_err(), StoreError::Newer { found: 99, known: tables::LAYOUT });
}

#[tokio::test]
async fn many_results_at_once_are_recorded_each_once() {
    const ITEMS: u32 = 2_000;
    let folder = Folder::new("many");
    let store = Arc::new(folder.open());
    let job = made(&store, "job_a", ITEMS).await;
    let mut writes = tokio::task::JoinSet::new();
    for index in 0..ITEMS {
        let store = Arc::clone(&store);
        writes.spawn(async move { store.finish(job, vec![done(index, ItemStatus::Succeeded)]).await.unwrap() });
    }
    writes.join_all().await;
    let events = store.events(job, 0, ITEMS + 1).await.unwrap();
    assert!(events.iter().zip(1..).all(|(event, number)| event.number == number));
    let mut items: Vec<_> = events.iter().map(|event| event.item.unwrap().0).collect();
    items.sort_unstable();
    assert!(items.into_iter().eq(0..ITEMS));
}
