//! Recorder of the changes of files, for tests of what a loss of power leaves.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Change of files that was made.
#[derive(Debug, Clone)]
pub enum Change {
    CreateFolder(PathBuf),
    Write(PathBuf, String),
    SyncFile(PathBuf),
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// Changes of the files of one folder.
pub struct Recording {
    pub folder: PathBuf,
    pub changes: Vec<Change>,
    /// Number of changes until the process ends.
    pub until_kill: Option<usize>,
}

static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

/// Returns what is recorded, for one test at a time.
pub fn recording() -> MutexGuard<'static, Option<Recording>> {
    RECORDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records a change, if it is in the folder of the recording.
///
/// # Panics
/// If the process is to end with this change.
pub fn record(change: Change) {
    let mut recording = recording();
    let Some(recording) = recording.as_mut() else {
        return;
    };
    let (Change::CreateFolder(path)
    | Change::Write(path, _)
    | Change::SyncFile(path)
    | Change::SyncFolder(path)
    | Change::Rename(path, _)
    | Change::Remove(path)) = &change;
    if !path.starts_with(&recording.folder) {
        return;
    }
    recording.changes.push(change);
    let left = recording.until_kill.take();
    recording.until_kill = left.and_then(|left| left.checked_sub(1));
    assert!(left != Some(0), "the process ends here");
}
