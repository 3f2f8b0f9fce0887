//! Jobs that wait to be started, by caller, so that a change concerns one caller's jobs only.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::store::JobKey;

/// Name of the caller of a job.
pub type CallerName = String;

/// Waiting jobs of every caller.
#[derive(Debug, Default)]
pub struct WaitingJobs {
    /// Jobs of each caller, oldest first. No set is empty.
    callers: HashMap<CallerName, BTreeSet<JobKey>>,
    /// Callers with a waiting job for which a job may be startable since the last look.
    changed: HashSet<CallerName>,
    len: usize,
}

impl WaitingJobs {
    /// Adds a job, unless it waits already.
    pub fn insert(&mut self, job: JobKey, caller: CallerName) {
        let jobs = self.callers.entry(caller.clone()).or_default();
        if jobs.insert(job) {
            self.len += 1;
        }
        self.changed.insert(caller);
    }

    /// Removes a job.
    pub fn remove(&mut self, job: JobKey, caller: &str) {
        let Some(jobs) = self.callers.get_mut(caller) else {
            return;
        };
        if jobs.remove(&job) {
            self.len -= 1;
        }
        if jobs.is_empty() {
            self.callers.remove(caller);
        }
    }

    /// Removes and returns the oldest job of a caller.
    pub fn pop(&mut self, caller: &str) -> Option<JobKey> {
        let job = self.oldest(caller)?;
        self.remove(job, caller);
        Some(job)
    }

    /// Returns the oldest job of a caller.
    pub fn oldest(&self, caller: &str) -> Option<JobKey> {
        self.callers.get(caller)?.first().copied()
    }

    /// Returns the callers with a waiting job.
    pub fn callers(&self) -> impl Iterator<Item = &CallerName> {
        self.callers.keys()
    }

    /// Marks a caller: one of its jobs may be startable.
    pub fn mark(&mut self, caller: &str) {
        if self.callers.contains_key(caller) {
            self.changed.insert(caller.to_owned());
        }
    }

    /// Marks all callers with a waiting job.
    pub fn mark_all(&mut self) {
        self.changed.extend(self.callers.keys().cloned());
    }

    /// Returns the marked callers, and removes the marks.
    pub fn take_marked(&mut self) -> HashSet<CallerName> {
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
        let mut waiting = WaitingJobs::default();
        for key in [3, 1, 2, 3] {
            waiting.insert(JobKey(key), "ann".to_owned());
        }
        waiting.insert(JobKey(4), "bob".to_owned());
        assert_eq!(waiting.len(), 4);
        assert_eq!(waiting.take_marked().len(), 2);
        waiting.remove(JobKey(2), "ann");
        waiting.remove(JobKey(2), "bob");
        assert_eq!(waiting.pop("ann"), Some(JobKey(1)));
        assert_eq!(waiting.pop("ann"), Some(JobKey(3)));
        assert_eq!(waiting.pop("ann"), None);
        waiting.mark("ann");
        assert!(waiting.take_marked().is_empty(), "ann has no waiting job");
        waiting.mark_all();
        assert_eq!(waiting.take_marked(), ["bob".to_owned()].into());
        assert_eq!((waiting.pop("bob"), waiting.len()), (Some(JobKey(4)), 0));
    }
}
