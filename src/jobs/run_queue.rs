//! Queues of the runs of jobs, by caller, so that a change concerns one caller's jobs only.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::store::JobKey;

/// Name of the caller of a job.
pub type CallerName = String;

/// Kind of a run. Each kind has a queue, and a limit for every caller, of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// Run of a job's items.
    Items,
    /// End of a job that is being cancelled. It calls no model, so it does not wait for the runs of items.
    Cancellation,
}

/// Runs of one kind, of every caller: the jobs that wait for theirs, and the number of those that were started and have not ended.
#[derive(Debug, Default)]
pub struct RunQueue {
    /// Waiting jobs of each caller, oldest first. No set is empty.
    waiting: HashMap<CallerName, BTreeSet<JobKey>>,
    /// Number of runs of each caller that has any.
    running: HashMap<CallerName, usize>,
    /// Callers with a waiting job for which a job may be startable since the last look.
    changed: HashSet<CallerName>,
    len: usize,
    /// Number of looks for a job to start: marked callers that were taken, and their jobs that were asked for.
    #[cfg(test)]
    pub looks: usize,
}

impl RunQueue {
    /// Adds a job, unless it waits already.
    pub fn insert(&mut self, job: JobKey, caller: CallerName) {
        let jobs = self.waiting.entry(caller.clone()).or_default();
        if jobs.insert(job) {
            self.len += 1;
        }
        self.changed.insert(caller);
    }

    /// Removes a waiting job.
    pub fn remove(&mut self, job: JobKey, caller: &str) {
        let Some(jobs) = self.waiting.get_mut(caller) else {
            return;
        };
        if jobs.remove(&job) {
            self.len -= 1;
        }
        if jobs.is_empty() {
            self.waiting.remove(caller);
        }
    }

    /// Removes and returns the oldest waiting job of a caller, if the caller has fewer runs than `max_running`.
    pub fn pop(&mut self, caller: &str, max_running: usize) -> Option<JobKey> {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        if self.running.get(caller).copied().unwrap_or(0) >= max_running {
            return None;
        }
        let job = self.oldest(caller)?;
        self.remove(job, caller);
        Some(job)
    }

    /// Returns the oldest waiting job of a caller.
    pub fn oldest(&self, caller: &str) -> Option<JobKey> {
        self.waiting.get(caller)?.first().copied()
    }

    /// Counts a run that starts.
    pub fn count_start(&mut self, caller: CallerName) {
        *self.running.entry(caller).or_default() += 1;
    }

    /// Counts a run that has ended, and marks its caller.
    pub fn count_end(&mut self, caller: &str) {
        if let Some(count) = self.running.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(caller);
            }
        }
        if self.waiting.contains_key(caller) {
            self.changed.insert(caller.to_owned());
        }
    }

    /// Returns the callers with a waiting job.
    pub fn callers(&self) -> impl Iterator<Item = &CallerName> {
        self.waiting.keys()
    }

    /// Returns the callers with a run.
    pub fn running_callers(&self) -> impl Iterator<Item = &CallerName> {
        self.running.keys()
    }

    /// Marks all callers with a waiting job.
    pub fn mark_all(&mut self) {
        self.changed.extend(self.waiting.keys().cloned());
    }

    /// Returns the marked callers, and removes the marks.
    pub fn take_marked(&mut self) -> HashSet<CallerName> {
        #[cfg(test)]
        {
            self.looks += self.changed.len();
        }
        std::mem::take(&mut self.changed)
    }

    /// Returns the number of waiting jobs.
    pub const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_wait_by_caller_oldest_first() {
        let mut queue = RunQueue::default();
        for key in [3, 1, 2, 3] {
            queue.insert(JobKey(key), "ann".to_owned());
        }
        queue.insert(JobKey(4), "bob".to_owned());
        assert_eq!(queue.len(), 4);
        assert_eq!(queue.take_marked().len(), 2);
        queue.remove(JobKey(2), "ann");
        queue.remove(JobKey(2), "bob");
        assert_eq!(queue.pop("ann", 1), Some(JobKey(1)));
        assert_eq!(queue.pop("ann", 1), Some(JobKey(3)));
        assert_eq!(queue.pop("ann", 1), None);
        queue.count_end("ann");
        assert!(queue.take_marked().is_empty(), "ann has no waiting job");
        queue.mark_all();
        assert_eq!(queue.take_marked(), ["bob".to_owned()].into());
        assert_eq!((queue.pop("bob", 1), queue.len()), (Some(JobKey(4)), 0));
    }

    #[test]
    fn a_caller_at_its_limit_waits_for_the_end_of_a_run() {
        let mut queue = RunQueue::default();
        for key in 1..=2 {
            queue.insert(JobKey(key), "ann".to_owned());
        }
        queue.take_marked();
        queue.count_start("ann".to_owned());
        assert_eq!(queue.pop("ann", 1), None);
        assert_eq!(queue.pop("ann", 2), Some(JobKey(1)));
        assert_eq!(queue.running_callers().collect::<Vec<_>>(), ["ann"]);
        queue.count_end("ann");
        assert_eq!(queue.take_marked(), ["ann".to_owned()].into());
        assert_eq!(queue.pop("ann", 1), Some(JobKey(2)));
        assert_eq!(queue.running_callers().count(), 0);
    }
}
