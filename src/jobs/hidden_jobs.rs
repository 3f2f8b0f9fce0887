//! Jobs that callers cannot see: those whose upload is received by this process, and those that it removes.
//!
//! A hidden job that is in neither set was left by a process that died, or by a removal that failed: a sweep removes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::run_queue::CallerName;
use super::store::JobKey;

/// Maximum number of removals that this process has begun, besides one of each caller, each a task of about a kilobyte: what the
/// disk removes in the seconds until the next sweep.
const MAX_REMOVALS: usize = 1_000;

/// Uploads and removals of this process.
#[derive(Debug, Default)]
pub struct HiddenJobs {
    /// IDs of the jobs whose upload is received. An ID is known before the store creates the job.
    uploads: Mutex<HashSet<String>>,
    removals: Mutex<Removals>,
}

/// Removals that have begun and have not ended.
#[derive(Debug, Default)]
struct Removals {
    /// Jobs whose rows are being removed.
    jobs: HashSet<JobKey>,
    /// Number of these jobs of each caller that has any.
    by_caller: HashMap<CallerName, usize>,
}

impl Removals {
    /// Adds a job, unless it is there already. A caller adds at most as many as it leaves to the others, and may always add one.
    fn insert(&mut self, job: JobKey, caller: &str) -> bool {
        let own = self.by_caller.get(caller).copied().unwrap_or(0);
        let free = MAX_REMOVALS.saturating_sub(self.jobs.len());
        if (own > 0 && own >= free) || !self.jobs.insert(job) {
            return false;
        }
        self.by_caller.insert(caller.to_owned(), own + 1);
        true
    }

    fn remove(&mut self, job: JobKey, caller: &str) {
        self.jobs.remove(&job);
        if let Some(own) = self.by_caller.get_mut(caller) {
            *own -= 1;
            if *own == 0 {
                self.by_caller.remove(caller);
            }
        }
    }
}

impl HiddenJobs {
    /// Registers the upload of a job until the guard is dropped.
    pub fn begin_upload(self: &Arc<Self>, id: String) -> UploadGuard {
        lock(&self.uploads).insert(id.clone());
        UploadGuard {
            jobs: Arc::clone(self),
            id,
        }
    }

    /// Returns true if this process receives the upload of the job.
    pub fn is_uploading(&self, id: &str) -> bool {
        lock(&self.uploads).contains(id)
    }

    /// Registers the removal of a caller's job until the guard is dropped. Returns `None` if the job is being removed already, or
    /// if too many are: a later sweep finds it.
    pub fn begin_removal(self: &Arc<Self>, job: JobKey, caller: &str) -> Option<RemovalGuard> {
        let is_new = lock(&self.removals).insert(job, caller);
        is_new.then(|| RemovalGuard {
            jobs: Arc::clone(self),
            job,
            caller: caller.to_owned(),
        })
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registration of an upload.
#[derive(Debug)]
pub struct UploadGuard {
    jobs: Arc<HiddenJobs>,
    id: String,
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        lock(&self.jobs.uploads).remove(&self.id);
    }
}

/// Registration of a removal.
#[derive(Debug)]
pub struct RemovalGuard {
    jobs: Arc<HiddenJobs>,
    job: JobKey,
    caller: CallerName,
}

impl Drop for RemovalGuard {
    fn drop(&mut self) {
        lock(&self.jobs.removals).remove(self.job, &self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_removals_is_begun() {
        let jobs = Arc::new(HiddenJobs::default());
        let remove = |job| jobs.begin_removal(JobKey(job), "ann");
        let begun: Vec<_> = (0..10_000).filter_map(remove).collect();
        assert_eq!(begun.len(), MAX_REMOVALS / 2);
        drop(begun);
        let _removal = remove(1).expect("the others have ended");
        assert!(remove(1).is_none(), "it is being removed");
    }

    #[test]
    fn each_caller_finds_room_for_a_removal() {
        let jobs = Arc::new(HiddenJobs::default());
        let mut begun = Vec::new();
        for caller in 0..100 {
            let own = (0..1000).filter_map(|job| {
                let job = JobKey(caller * 1000 + job);
                jobs.begin_removal(job, &caller.to_string())
            });
            let own: Vec<_> = own.collect();
            assert!(!own.is_empty(), "caller {caller} has no room");
            begun.extend(own);
        }
        assert!(begun.len() <= MAX_REMOVALS + 100, "{}", begun.len());
        drop(begun);
        let removals = lock(&jobs.removals);
        assert_eq!((removals.jobs.len(), removals.by_caller.len()), (0, 0));
    }
}
