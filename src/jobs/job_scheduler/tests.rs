//! Runs of jobs, those of jobs that are being cancelled or wait for memory above all, and what a command costs.

use rusqlite::Connection;
use throttle::{CallerId, MemoryReservation, MemoryUse};
use tokio::time::timeout;

use super::super::test_context::{MAX_RUNNING, MEMORY, TestContext, store_file, store_queued};
use super::*;

/// Items of each job.
const ITEMS: u32 = 3;
/// Maximum duration of a run.
const LIMIT: Duration = Duration::from_secs(60);
/// Time after which a run that waits is taken to wait.
const NO_END: Duration = Duration::from_millis(500);

/// Scheduler whose loop does not run.
struct Stage {
    scheduler: JobScheduler,
    _test: TestContext,
}

impl Stage {
    fn new(name: &str) -> Self {
        let test = TestContext::new(name);
        Self {
            scheduler: JobScheduler::new(Arc::clone(&test.context)),
            _test: test,
        }
    }

    /// Stores jobs that are queued and have no result.
    async fn store_queued(&self, jobs: usize) -> Vec<JobKey> {
        let store = &self.scheduler.context.store;
        let mut keys = Vec::new();
        for number in 0..jobs {
            keys.push(store_queued(store.as_ref(), &format!("job_{number}"), ITEMS).await);
        }
        keys
    }

    /// Stores jobs that are being cancelled and have no result.
    async fn store_cancelling(&self, jobs: usize) -> Vec<JobKey> {
        let keys = self.store_queued(jobs).await;
        for job in &keys {
            let store = &self.scheduler.context.store;
            assert!(store.cancel(*job).await.unwrap());
        }
        keys
    }

    /// Takes all memory, and starts a job, which waits for some.
    async fn start_without_memory(&mut self) -> (JobKey, MemoryReservation) {
        let job = self.store_queued(1).await[0];
        let limits = self.scheduler.context.extractor.limits();
        let all = limits
            .memory()
            .record(CallerId::default(), MemoryUse::Responses, MEMORY);
        self.scheduler.execute(JobCommand::Run(job, String::new()));
        self.scheduler.start_ready_jobs();
        let end = timeout(NO_END, self.scheduler.runs.join_next()).await;
        assert!(end.is_err(), "the job waits for memory");
        (job, all)
    }

    fn command_cancel(&mut self, jobs: &[JobKey]) {
        for job in jobs {
            let command = JobCommand::Cancel(*job, String::new());
            self.scheduler.execute(command);
        }
    }

    /// Runs jobs until none is left. Returns the maximum number of concurrent runs.
    async fn run_all(&mut self) -> usize {
        let mut max_running = 0;
        loop {
            self.scheduler.start_ready_jobs();
            max_running = max_running.max(self.scheduler.running.len());
            let end = timeout(LIMIT, self.scheduler.runs.join_next()).await;
            let Some(run) = end.expect("a run ends") else {
                return max_running;
            };
            self.scheduler.on_run_end(run.unwrap());
        }
    }

    async fn status_of(&self, job: JobKey) -> Status {
        let found = self.scheduler.context.store.job_by_key(job).await;
        found.unwrap().expect("the job is stored").status
    }

    /// Waits for the end of a run.
    async fn end_run(&mut self) {
        let end = timeout(LIMIT, self.scheduler.runs.join_next()).await;
        let run = end.expect("a run ends").expect("there is a run");
        self.scheduler.on_run_end(run.unwrap());
    }

    async fn check_cancelled(&self, jobs: &[JobKey]) {
        for job in jobs {
            let found = self.scheduler.context.store.job_by_key(*job).await;
            let found = found.unwrap().expect("the job is stored");
            assert_eq!(found.status, Status::Cancelled);
            assert_eq!(found.counts.cancelled, ITEMS);
        }
    }
}

#[tokio::test]
async fn as_many_cancelled_jobs_of_a_caller_end_at_a_time_as_may_run() {
    for is_restarted in [false, true] {
        let mut stage = Stage::new(&format!("cancelled-{is_restarted}"));
        let jobs = stage.store_cancelling(5 * MAX_RUNNING).await;
        // The caller has its maximum of running jobs, for which they do not wait.
        for _ in 0..MAX_RUNNING {
            stage.scheduler.waiting.count_start(String::new());
        }
        if is_restarted {
            stage.scheduler.resume_unfinished().await;
        } else {
            stage.command_cancel(&jobs);
        }
        assert_eq!(stage.run_all().await, MAX_RUNNING);
        stage.check_cancelled(&jobs).await;
    }
}

#[tokio::test]
async fn a_cancelled_job_ends_without_the_memory_of_its_request() {
    let mut stage = Stage::new("memory");
    let jobs = stage.store_cancelling(1).await;
    let limits = stage.scheduler.context.extractor.limits();
    let _all = limits
        .memory()
        .record(CallerId::default(), MemoryUse::Responses, MEMORY);
    stage.command_cancel(&jobs);
    stage.run_all().await;
    stage.check_cancelled(&jobs).await;
}

#[tokio::test]
async fn a_job_that_waits_for_memory_is_cancelled() {
    let mut stage = Stage::new("waiting");
    let (job, _all) = stage.start_without_memory().await;
    let store = Arc::clone(&stage.scheduler.context.store);
    assert!(store.cancel(job).await.unwrap());
    stage.command_cancel(&[job]);
    stage.run_all().await;
    stage.check_cancelled(&[job]).await;
}

#[tokio::test]
async fn a_job_that_waits_for_memory_does_not_keep_the_server_from_draining() {
    let mut stage = Stage::new("draining");
    let (job, _all) = stage.start_without_memory().await;
    stage.scheduler.context.shutdown.draining.cancel();
    let end = timeout(LIMIT, stage.scheduler.runs.join_next()).await;
    let run = end.expect("the run ends").expect("there is one").unwrap();
    assert!(
        matches!(run, (ended, RunOutcome::Done(None)) if ended == job),
        "{run:?}"
    );
    let found = stage.scheduler.context.store.job_by_key(job).await;
    let found = found.unwrap().expect("the job is stored");
    assert_eq!(found.status, Status::Running, "the next process goes on");
}

#[tokio::test]
async fn pages_of_cancelled_items_are_recorded_in_turns() {
    let mut stage = Stage::new("turns");
    let jobs = stage.store_cancelling(1).await;
    let mut turns = Vec::new();
    let context = Arc::clone(&stage.scheduler.context);
    while let Ok(turn) = timeout(NO_END, context.cancellation_turn("")).await {
        turns.push(turn);
        assert!(turns.len() < 100, "the turns have no bound");
    }
    stage.command_cancel(&jobs);
    stage.scheduler.start_ready_jobs();
    let end = timeout(NO_END, stage.scheduler.runs.join_next()).await;
    assert!(end.is_err(), "the job has no turn");
    drop(turns);
    stage.run_all().await;
    stage.check_cancelled(&jobs).await;
}

#[tokio::test]
async fn a_command_looks_at_its_caller_only_however_many_jobs_wait() {
    const WAITING: u32 = 20_000;
    const COMMANDS: u32 = 100;
    let mut stage = Stage::new("looks");
    let scheduler = &mut stage.scheduler;
    // Half of the jobs are of a caller with its maximum of running jobs, the others each of one that is not configured.
    for _ in 0..MAX_RUNNING {
        scheduler.waiting.count_start(String::new());
    }
    for key in 0..WAITING {
        let caller = match key % 2 {
            0 => String::new(),
            _ => format!("absent-{key}"),
        };
        scheduler.execute(JobCommand::Run(JobKey(key), caller));
    }
    scheduler.start_ready_jobs();
    assert_eq!(scheduler.waiting.len(), WAITING as usize);
    let before = scheduler.waiting.looks;
    for key in WAITING..WAITING + COMMANDS {
        scheduler.execute(JobCommand::Run(JobKey(key), String::new()));
        scheduler.start_ready_jobs();
    }
    let looks = scheduler.waiting.looks - before;
    assert!(looks <= 2 * COMMANDS as usize, "{looks} looks");
}

#[tokio::test]
async fn a_job_that_was_queued_again_is_not_run_as_a_cancellation() {
    let mut stage = Stage::new("queued-again");
    let jobs = stage.store_queued(1).await;
    for _ in 0..MAX_RUNNING {
        stage.scheduler.waiting.count_start(String::new());
    }
    // A run of the job has ended its cancellation before this command, and the job was queued again.
    stage.command_cancel(&jobs);
    stage.run_all().await;
    assert_eq!(stage.status_of(jobs[0]).await, Status::Queued);
    assert_eq!(stage.scheduler.waiting.len(), 1, "its items wait");
    stage.scheduler.waiting.count_end("");
    stage.scheduler.start_ready_jobs();
    let run = stage.scheduler.running.get(&jobs[0]);
    assert_eq!(run.expect("it runs").kind, RunKind::Items);
}

#[tokio::test]
async fn a_failure_that_is_recorded_later_does_not_replace_a_run() {
    let mut stage = Stage::new("late-failure");
    let job = stage.store_queued(1).await[0];
    let reason = "a reason".to_owned();
    let failures = &mut stage.scheduler.failures;
    failures.delay_failure(job, String::new(), reason);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    let command = JobCommand::Run(job, String::new());
    stage.scheduler.execute(command);
    stage.scheduler.start_ready_jobs();
    stage.scheduler.maintain().await;
    assert_eq!(stage.scheduler.runs.len(), 1, "it has one run");
    stage.scheduler.running[&job].signals.cancelled.cancel();
    stage.end_run().await;
    assert_eq!(stage.scheduler.waiting.running_callers().count(), 0);
}

#[tokio::test]
async fn commands_and_cancellations_do_not_wait_for_the_quarantine_as_items_do() {
    let mut stage = Stage::new("quarantine");
    let jobs = stage.store_queued(2).await;
    stage.scheduler.quarantine.spawn(std::future::pending());
    let context = Arc::clone(&stage.scheduler.context);
    let (sent, mut commands) = mpsc::channel(10);
    assert!(context.store.cancel(jobs[1]).await.unwrap());
    for command in [
        JobCommand::Run(jobs[0], String::new()),
        JobCommand::Run(jobs[1], String::new()),
        JobCommand::Cancel(jobs[1], String::new()),
    ] {
        sent.send(command).await.unwrap();
    }
    let cancelled = async {
        loop {
            let job = context.store.job_by_key(jobs[1]).await.unwrap();
            if job.unwrap().status == Status::Cancelled {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = stage.scheduler.schedule_until_drained(&mut commands) => panic!("it drains"),
        ended = timeout(LIMIT, cancelled) => ended.expect("the job is cancelled"),
    }
    assert_eq!(stage.status_of(jobs[0]).await, Status::Queued);
    stage.scheduler.quarantine.shutdown().await;
    stage.scheduler.start_ready_jobs();
    assert!(stage.scheduler.running.contains_key(&jobs[0]));
}

#[tokio::test]
async fn a_scheduler_that_stops_waits_for_the_runs() {
    let mut stage = Stage::new("stops");
    let jobs = stage.store_cancelling(MAX_RUNNING).await;
    stage.command_cancel(&jobs);
    stage.scheduler.start_ready_jobs();
    stage.scheduler.wait_for_runs().await;
    assert!(stage.scheduler.running.is_empty());
    stage.check_cancelled(&jobs).await;
}

#[tokio::test]
async fn an_error_of_the_whole_store_is_no_failure_of_a_job() {
    let mut stage = Stage::new("store-errors");
    let of_job = StoreError::Other("a reason".to_owned());
    for (error, is_of_store) in [(StoreError::Full, true), (of_job, false)] {
        let run = std::future::ready(Err(error));
        stage.scheduler.spawn(JobKey(1), run);
        let ended = stage.scheduler.runs.join_next().await;
        let (_, outcome) = ended.expect("there is a run").unwrap();
        assert_eq!(
            matches!(outcome, RunOutcome::StoreUnavailable),
            is_of_store,
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn only_running_items_of_callers_that_are_not_configured_are_paused() {
    let mut stage = Stage::new("orphans");
    let runs = [
        ("absent", RunKind::Items, true),
        ("absent", RunKind::Cancellation, false),
        ("", RunKind::Items, false),
    ];
    let mut jobs = Vec::new();
    for (key, (caller, kind, is_paused)) in (0..).zip(runs) {
        let job = JobKey(key);
        let signals = stage.scheduler.register(job, caller.to_owned(), kind);
        jobs.push((job, signals, is_paused));
    }
    stage.scheduler.pause_orphans();
    for (job, signals, is_paused) in jobs {
        assert_eq!(signals.paused.is_cancelled(), is_paused, "{job:?}");
        let next = stage.scheduler.run_again.get(&job);
        assert_eq!(next.is_some(), is_paused, "{job:?}");
    }
}

#[tokio::test]
async fn old_jobs_of_a_caller_that_stays_away_are_cancelled() {
    let name = "old-orphans";
    let mut stage = Stage::new(name);
    let jobs = stage.store_queued(2).await;
    let file = Connection::open(store_file(name)).unwrap();
    let sql = "UPDATE jobs SET created_at = ?2 WHERE key = ?1";
    file.execute(sql, (jobs[1].0, unix_millis())).unwrap();
    for job in &jobs {
        let command = JobCommand::Run(*job, "absent".to_owned());
        stage.scheduler.execute(command);
    }
    stage.scheduler.cancel_orphans().await;
    assert_eq!(stage.status_of(jobs[0]).await, Status::Queued);
    tokio::time::pause();
    tokio::time::advance(stage.scheduler.context.config.retention).await;
    tokio::time::resume();
    stage.scheduler.cancel_orphans().await;
    assert_eq!(stage.status_of(jobs[0]).await, Status::Cancelling);
    assert_eq!(stage.status_of(jobs[1]).await, Status::Queued, "it is new");
}
