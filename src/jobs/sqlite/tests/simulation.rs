//! Seeded simulation of the jobs' states: random uploads, results, cancellations, retries, removals and crashes, compared with a
//! model in memory after each step.
//!
//! `SIMULATION_STEPS` sets the number of steps, of which a tenth runs here because each is written to the disk; `SIMULATION_SEED`
//! the first seed (`make simulate`). A failure names its seed.

use std::collections::BTreeMap;

use super::*;

/// Job as the simulation knows it.
#[derive(Debug, Clone)]
struct Expected {
    status: Status,
    results: Vec<Option<ItemStatus>>,
    /// Number of the last event.
    events: u32,
}

const STATUSES: [ItemStatus; 4] = ItemStatus::ALL;
const ENDS: [Status; 4] = [
    Status::Completed,
    Status::Stopped,
    Status::Cancelled,
    Status::Failed,
];

struct Simulation {
    random: fastrand::Rng,
    folder: Folder,
    store: Option<Sqlite>,
    jobs: BTreeMap<JobKey, Expected>,
    created: u32,
}

impl Simulation {
    fn store(&self) -> &Sqlite {
        self.store.as_ref().expect("the store is open")
    }

    fn any_job(&mut self) -> Option<JobKey> {
        let keys: Vec<_> = self.jobs.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[self.random.usize(..keys.len())])
    }

    async fn step(&mut self) {
        let action = self.random.u8(..100);
        if action < 12 {
            return self.upload().await;
        }
        if action < 15 {
            return self.crash();
        }
        let Some(key) = self.any_job() else { return };
        match action {
            15..50 => self.record(key).await,
            50..65 => self.start(key).await,
            65..75 => self.cancel(key).await,
            75..87 => self.complete(key).await,
            87..94 => self.requeue(key).await,
            _ => self.delete(key).await,
        }
    }

    async fn upload(&mut self) {
        self.created += 1;
        let id = format!("job_{}", self.created);
        let items = self.random.u32(..12);
        let is_whole = self.random.u8(..5) > 0;
        if is_whole {
            let key = create(self.store(), &id, items).await;
            let expected = Expected {
                status: Status::Queued,
                results: vec![None; items as usize],
                events: 0,
            };
            self.jobs.insert(key, expected);
        } else {
            // A client that leaves in the middle: its upload is invisible, and removed.
            let key = create_uploading(self.store(), new_job(&id)).await.unwrap();
            assert!(self.store().job(id).await.unwrap().is_none());
            self.store().remove(key, CallerId::default()).await.unwrap();
        }
    }

    /// Ends the process without closing the store, and opens the store again.
    fn crash(&mut self) {
        drop(self.store.take());
        self.store = Some(self.folder.open());
    }

    async fn record(&mut self, key: JobKey) {
        let job = self.jobs[&key].clone();
        let can_record = matches!(job.status, Status::Running | Status::Cancelling);
        if !can_record || job.results.is_empty() {
            return;
        }
        let mut items = Vec::new();
        let expected = self.jobs.get_mut(&key).unwrap();
        for _ in 0..self.random.usize(1..4) {
            let index = self.random.usize(..job.results.len());
            let status = STATUSES[self.random.usize(..STATUSES.len())];
            items.push(finished(u32::try_from(index).unwrap(), status));
            // A second result of an item is ignored.
            if expected.results[index].is_none() {
                expected.results[index] = Some(status);
                expected.events += 1;
            }
        }
        let until = u32::try_from(job.results.len()).unwrap();
        self.store().lease_until(key, until).await.unwrap();
        self.store().record_results(key, items).await.unwrap();
    }

    async fn start(&mut self, key: JobKey) {
        let is_queued = self.jobs[&key].status == Status::Queued;
        let store = self.store();
        let started = store.transition(key, &[Status::Queued], Status::Running, 2_000);
        assert_eq!(started.await.unwrap(), is_queued);
        if is_queued {
            self.jobs.get_mut(&key).unwrap().status = Status::Running;
        }
    }

    async fn cancel(&mut self, key: JobKey) {
        let status = self.jobs[&key].status;
        let is_cancelled = matches!(status, Status::Queued | Status::Running);
        assert_eq!(self.store().cancel(key).await.unwrap(), is_cancelled);
        if is_cancelled {
            self.jobs.get_mut(&key).unwrap().status = Status::Cancelling;
        }
    }

    async fn complete(&mut self, key: JobKey) {
        let from = [Status::Running, Status::Cancelling][self.random.usize(..2)];
        let end = JobEnd {
            webhook: None,
            ..job_end(ENDS[self.random.usize(..ENDS.len())])
        };
        let status = end.status;
        let is_from = self.jobs[&key].status == from;
        let completed = self.store().complete(key, from, end).await.unwrap();
        assert_eq!(completed.is_some(), is_from, "one end, from one state");
        if is_from {
            let expected = self.jobs.get_mut(&key).unwrap();
            expected.status = status;
            expected.events += 1;
        }
    }

    async fn requeue(&mut self, key: JobKey) {
        let only = self.random.bool().then_some(ItemStatus::Failed);
        let has_ended = ENDS.contains(&self.jobs[&key].status);
        let requeued = self.store().requeue(key, only).await.unwrap();
        assert_eq!(requeued.is_some(), has_ended);
        if has_ended {
            let expected = self.jobs.get_mut(&key).unwrap();
            expected.status = Status::Queued;
            for result in &mut expected.results {
                let is_requeued = |status| {
                    status != ItemStatus::Succeeded && only.is_none_or(|only| only == status)
                };
                *result = result.filter(|status| !is_requeued(*status));
            }
        }
    }

    async fn delete(&mut self, key: JobKey) {
        let status = self.jobs[&key].status;
        let is_deletable = ENDS.contains(&status) || status == Status::Cancelling;
        assert_eq!(self.store().soft_delete(key).await.unwrap(), is_deletable);
        if is_deletable {
            self.jobs.remove(&key);
            if self.random.bool() {
                self.store().remove(key, CallerId::default()).await.unwrap();
            }
        }
    }

    /// Compares a job with what the simulation knows of it.
    async fn check(&self, key: JobKey) {
        let (store, expected) = (self.store(), &self.jobs[&key]);
        let job = store.job_by_key(key).await.unwrap().expect("a known job");
        assert_eq!(job.status, expected.status);
        assert_eq!(job.last_event, expected.events, "events");
        let count = |status| {
            let results = expected.results.iter();
            u32::try_from(results.filter(|result| **result == Some(status)).count()).unwrap()
        };
        let counts = ItemCounts {
            total: u32::try_from(expected.results.len()).unwrap(),
            succeeded: count(ItemStatus::Succeeded),
            failed: count(ItemStatus::Failed),
            invalid: count(ItemStatus::Invalid),
            cancelled: count(ItemStatus::Cancelled),
        };
        assert_eq!(job.counts, counts);
        let events = store
            .events(key, 0, PageSize::of_rows(u32::MAX))
            .await
            .unwrap();
        let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, (1..=expected.events).collect::<Vec<_>>(), "no gap");
        let order = ResultOrder::Completion;
        let results = store
            .results(key, order, None, None, PageSize::of_rows(u32::MAX))
            .await;
        let mut found = vec![None; expected.results.len()];
        for event in results.unwrap() {
            let (index, status) = event.item.expect("a result has an item");
            assert_eq!(found[index as usize], None, "one result of an item");
            found[index as usize] = Some(status);
        }
        assert_eq!(found, expected.results);
        let pending = store.pending(key, 0, u32::MAX).await.unwrap();
        let open = expected.results.iter().filter(|result| result.is_none());
        assert_eq!(pending.len(), open.count(), "what has no result is pending");
    }

    async fn check_all(&self) {
        for key in self.jobs.keys() {
            self.check(*key).await;
        }
        let listed = self
            .store()
            .jobs("ann".to_owned(), JobFilter::default(), None, u32::MAX)
            .await;
        let listed: Vec<_> = listed.unwrap().into_iter().map(|job| job.key).collect();
        assert_eq!(listed, self.jobs.keys().rev().copied().collect::<Vec<_>>());
    }
}

/// Maximum number of steps in one store: the jobs grow in number, and with them the time that a step takes.
const STEPS_OF_A_SEED: u64 = 2_000;

/// Names the seed and the step if the test fails.
struct Progress {
    seed: u64,
    step: u64,
}

impl Drop for Progress {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, step } = self;
            let steps = STEPS_OF_A_SEED * 10;
            eprintln!(
                "step {step} failed; repeat it with SIMULATION_SEED={seed} SIMULATION_STEPS={steps}"
            );
        }
    }
}

#[tokio::test]
async fn jobs_are_in_one_known_state_after_every_step() {
    let setting = |name: &str, default: u64| {
        let set = std::env::var(name).ok();
        set.map_or(default, |text| text.parse().expect("a number"))
    };
    let mut steps = setting("SIMULATION_STEPS", 5_000) / 10;
    let mut seed = setting("SIMULATION_SEED", 1);
    while steps > 0 {
        let now = steps.min(STEPS_OF_A_SEED);
        simulate(seed, now).await;
        (steps, seed) = (steps - now, seed + 1);
    }
}

async fn simulate(seed: u64, steps: u64) {
    let mut progress = Progress { seed, step: 0 };
    let folder = Folder::new("simulation");
    let mut simulation = Simulation {
        random: fastrand::Rng::with_seed(seed),
        store: Some(folder.open()),
        folder,
        jobs: BTreeMap::new(),
        created: 0,
    };
    for step in 0..steps {
        progress.step = step;
        simulation.step().await;
        match simulation.any_job() {
            Some(key) if step % 50 != 0 => simulation.check(key).await,
            _ => simulation.check_all().await,
        }
    }
    simulation.check_all().await;
}
