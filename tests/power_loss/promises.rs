//! Check of what a store contains against what it promised.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use extractd::jobs::Sqlite;
use extractd::jobs::store::{self, CreateOutcome, NewJob, PageSize, ResultOrder, Store};

use super::workload::{Job, LATE, Promise, Promises};

/// Current results of a job, by index.
type Results = BTreeMap<u32, Vec<u8>>;

/// Checks the store in a folder against what was promised, of which some was promised or ended after the operations `cut`.
pub async fn check(folder: &Path, promises: &Promises, cut: usize, label: &str) {
    let file = folder.join("extractd.db");
    let store = Sqlite::open(&file).unwrap_or_else(|error| panic!("{label}: {error}"));
    let mut results = BTreeMap::new();
    for promise in &promises.created {
        let job = &promise.what;
        let of_job = results_of(&store, job, label).await;
        if let Some(found) = store.job(job.new.id.clone()).await.unwrap() {
            check_job(&store, job, &found, &of_job, label).await;
        } else {
            let id = &job.new.id;
            assert!(!promise.holds(cut), "{label}: {id} was accepted");
        }
        results.insert(job.key, of_job);
    }
    for recorded in holding(&promises.recorded, cut) {
        let found = results[&recorded.job].get(&recorded.index);
        let (job, index) = (recorded.job, recorded.index);
        let body = Some(&recorded.body);
        assert_eq!(found, body, "{label}: result {index} of {job:?}");
    }
    for (job, statuses) in holding(&promises.statuses, cut) {
        let found = store.job_by_key(*job).await.unwrap().unwrap().status;
        let is_promised = statuses.contains(&found);
        assert!(is_promised, "{label}: {job:?} is {found:?}");
    }
    for job in holding(&promises.deleted, cut) {
        let found = store.job_by_key(*job).await.unwrap();
        let is_visible = found.is_some_and(|job| job.status.is_visible());
        assert!(!is_visible, "{label}: {job:?} was deleted");
    }
    let due = store.due_webhooks(LATE, 100, HashSet::new()).await.unwrap();
    let due: BTreeSet<_> = due.into_iter().map(|delivery| delivery.job).collect();
    for job in holding(&promises.due, cut) {
        assert!(due.contains(job), "{label}: the webhook of {job:?} is due");
    }
    for job in holding(&promises.delivered, cut) {
        assert!(!due.contains(job), "{label}: {job:?} was delivered");
    }
    check_repeats(&store, promises, cut, label).await;
    store.close();
    drop(store);
    let connection = rusqlite::Connection::open(&file).unwrap();
    let intact: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(intact, "ok", "{label}");
}

/// Returns what is promised after the operations `cut`.
fn holding<T>(promises: &[Promise<T>], cut: usize) -> impl Iterator<Item = &T> {
    let holding = promises.iter().filter(move |promise| promise.holds(cut));
    holding.map(|promise| &promise.what)
}

/// Returns the current results of a job, of which no item has two.
async fn results_of(store: &Sqlite, job: &Job, label: &str) -> Results {
    let (order, page) = (ResultOrder::Completion, PageSize::of_rows(1_000));
    let found = store::search(0, |from| {
        store.find_results(job.key, order, None, from, page)
    });
    let mut results = Results::new();
    for event in found.await.unwrap() {
        let (index, _) = event.item.unwrap();
        let before = results.insert(index, event.body);
        let id = &job.new.id;
        assert!(before.is_none(), "{label}: {index} of {id} twice");
    }
    results
}

/// Checks that a visible job is whole.
async fn check_job(store: &Sqlite, job: &Job, found: &store::Job, results: &Results, label: &str) {
    let id = &job.new.id;
    let total = u32::try_from(job.inputs.len()).unwrap();
    assert_eq!(found.counts.total, total, "{label}: {id}");
    let events = store.events(job.key, 0, PageSize::of_rows(10_000));
    let events = events.await.unwrap();
    let numbers: Vec<u32> = events.iter().map(|event| event.number).collect();
    let expected: Vec<u32> = (1..=found.last_event).collect();
    assert_eq!(numbers, expected, "{label}: events of {id}");
    let ended = found.counts.ended() as usize;
    assert_eq!(results.len(), ended, "{label}: results of {id}");
    let mut without_result = 0;
    let mut from = 0;
    // A page ends after a megabyte.
    loop {
        let page = store.pending(job.key, from, 10_000).await.unwrap();
        let Some(last) = page.last() else { break };
        from = last.index + 1;
        without_result += page.len();
        for item in page {
            let (index, input) = (item.index, &job.inputs[item.index as usize]);
            assert!(!results.contains_key(&index), "{label}: {index} of {id}");
            assert_eq!(&item.input, input, "{label}: input {index} of {id}");
        }
    }
    let items = ended + without_result;
    assert_eq!(items, job.inputs.len(), "{label}: items of {id}");
}

/// Repeats the creation of each job with its idempotency key: an accepted job is there, and a broken upload frees its key.
async fn check_repeats(store: &Sqlite, promises: &Promises, cut: usize, label: &str) {
    for promise in &promises.created {
        let new = &promise.what.new;
        let existing = repeat(store, new).await;
        if promise.holds(cut) {
            assert_eq!(existing.as_ref(), Some(&new.id), "{label}: repeated");
        } else {
            assert!(existing.is_none_or(|id| id == new.id), "{label}: repeated");
        }
    }
    for job in &promises.broken {
        let id = &job.new.id;
        let found = store.job(id.clone()).await.unwrap();
        assert!(found.is_none(), "{label}: {id} is visible");
        let existing = repeat(store, &job.new).await;
        assert_eq!(existing, None, "{label}: {id} was an upload");
    }
}

/// Creates a job again, under another ID. Returns the ID of the job that exists.
async fn repeat(store: &Sqlite, new: &NewJob) -> Option<String> {
    let again = NewJob {
        id: format!("again_{}", new.id),
        ..new.clone()
    };
    match store.create_uploading(again).await.unwrap() {
        CreateOutcome::New(_) => None,
        CreateOutcome::Existing(job) => Some(job.id),
    }
}
