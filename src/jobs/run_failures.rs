//! Failed runs of jobs: each is repeated after a delay that doubles, and a job whose runs keep failing is given up.
//!
//! A run that fails has called models in vain, so a job must not be run again and again at a fixed pace.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::run_queue::{CallerName, RunKind};
use super::store::JobKey;

/// Delay after the first failed run. Each further delay is twice as long.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// Number of consecutive failed runs after which a job fails.
const MAX_FAILED_RUNS: u32 = 5;
/// Delay before the failure of a job is recorded again, if it could not be recorded.
const RECORD_DELAY: Duration = Duration::from_secs(60);

/// Next step for a job whose run failed.
#[derive(Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The job runs again after this delay.
    RunAfter(Duration),
    /// The job fails.
    Fail,
    /// The job's failure could not be recorded, and is recorded later.
    FailLater,
}

/// Job whose run failed.
#[derive(Debug)]
pub struct DelayedJob {
    pub job: JobKey,
    pub caller: CallerName,
    /// Kind of its next run.
    pub kind: RunKind,
    /// Reason for which the job fails; `None`: it runs again.
    pub failure: Option<String>,
    due: Instant,
}

/// Failed runs of all jobs.
#[derive(Debug, Default)]
pub struct RunFailures {
    /// Consecutive failed runs of each job.
    counts: HashMap<JobKey, u32>,
    delayed: Vec<DelayedJob>,
}

impl RunFailures {
    /// Forgets the failed runs of a job, and a failure that is not recorded yet, because it ran successfully.
    pub fn forget(&mut self, job: JobKey) {
        self.counts.remove(&job);
        self.delayed
            .retain(|delayed| delayed.job != job || delayed.failure.is_none());
    }

    /// Counts a failed run, and returns the next step.
    pub fn count(&mut self, job: JobKey) -> NextStep {
        let count = self.counts.entry(job).or_default();
        *count = count.saturating_add(1);
        match (*count).cmp(&MAX_FAILED_RUNS) {
            Ordering::Less => NextStep::RunAfter(FIRST_DELAY * 2_u32.pow(*count - 1)),
            Ordering::Equal => NextStep::Fail,
            Ordering::Greater => NextStep::FailLater,
        }
    }

    /// Delays a job.
    pub fn delay(&mut self, job: JobKey, caller: CallerName, kind: RunKind, delay: Duration) {
        let due = Instant::now() + delay;
        self.delayed.push(DelayedJob {
            job,
            caller,
            kind,
            failure: None,
            due,
        });
    }

    /// Delays the record of a job's failure.
    pub fn delay_failure(&mut self, job: JobKey, caller: CallerName, reason: String) {
        self.delayed.push(DelayedJob {
            job,
            caller,
            kind: RunKind::Items,
            failure: Some(reason),
            due: Instant::now() + RECORD_DELAY,
        });
    }

    /// Returns the delayed jobs that are due.
    pub fn take_due(&mut self) -> Vec<DelayedJob> {
        let now = Instant::now();
        self.delayed.extract_if(.., |job| job.due <= now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_until_the_job_fails() {
        let mut failures = RunFailures::default();
        for delay_s in [5, 10, 20, 40] {
            let delay = Duration::from_secs(delay_s);
            assert_eq!(failures.count(JobKey(1)), NextStep::RunAfter(delay));
        }
        assert_eq!(failures.count(JobKey(1)), NextStep::Fail);
        assert_eq!(failures.count(JobKey(1)), NextStep::FailLater);
        assert_eq!(
            failures.count(JobKey(2)),
            NextStep::RunAfter(FIRST_DELAY),
            "another job has failures of its own"
        );
        failures.forget(JobKey(1));
        assert_eq!(failures.count(JobKey(1)), NextStep::RunAfter(FIRST_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_job_is_due_after_its_delay() {
        let mut failures = RunFailures::default();
        let ann = "ann".to_owned();
        failures.delay(JobKey(1), ann, RunKind::Items, Duration::from_secs(5));
        failures.delay_failure(JobKey(2), "bob".to_owned(), "no".to_owned());
        assert!(failures.take_due().is_empty());
        tokio::time::advance(Duration::from_secs(6)).await;
        let due = failures.take_due();
        assert_eq!((due.len(), due[0].job), (1, JobKey(1)));
        tokio::time::advance(RECORD_DELAY).await;
        assert_eq!(failures.take_due()[0].failure.as_deref(), Some("no"));
    }
}
