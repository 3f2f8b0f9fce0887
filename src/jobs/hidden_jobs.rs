//! Jobs that callers cannot see: those whose upload is received by this process, and those that it removes.
//!
//! A hidden job that is in neither set was left by a process that died, or by a removal that failed: a sweep removes it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::store::JobKey;

/// Maximum number of removals that this process has begun, each a task of about a kilobyte: what the disk removes in the seconds
/// until the next sweep.
const MAX_REMOVALS: usize = 1_000;

/// Uploads and removals of this process.
#[derive(Debug, Default)]
pub struct HiddenJobs {
    /// IDs of the jobs whose upload is received. An ID is known before the store creates the job.
    uploads: Mutex<HashSet<String>>,
    /// Jobs whose rows are being removed.
    removals: Mutex<HashSet<JobKey>>,
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

    /// Registers the removal of a job until the guard is dropped. Returns `None` if the job is being removed already, or if too
    /// many are: a later sweep finds it.
    pub fn begin_removal(self: &Arc<Self>, job: JobKey) -> Option<RemovalGuard> {
        let mut removals = lock(&self.removals);
        let is_new = removals.len() < MAX_REMOVALS && removals.insert(job);
        drop(removals);
        is_new.then(|| RemovalGuard {
            jobs: Arc::clone(self),
            job,
        })
    }
}

fn lock<T>(set: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
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
}

impl Drop for RemovalGuard {
    fn drop(&mut self) {
        lock(&self.jobs.removals).remove(&self.job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_removals_is_begun() {
        let jobs = Arc::new(HiddenJobs::default());
        let remove = |job| jobs.begin_removal(JobKey(job));
        let begun: Vec<_> = (0..10_000).filter_map(remove).collect();
        assert_eq!(begun.len(), MAX_REMOVALS);
        drop(begun);
        let _removal = remove(1).expect("the others have ended");
        assert!(remove(1).is_none(), "it is being removed");
    }
}
