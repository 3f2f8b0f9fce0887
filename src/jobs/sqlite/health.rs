//! Health of the store, shared by the write thread, the readers and the watch thread: the error because of which nothing can be
//! written.

use std::sync::{Mutex, PoisonError};

use crate::jobs::store::StoreError;

/// Current error of the store. A permanent error stays until a restart.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Error of the last write.
    write: Option<StoreError>,
    /// Error of the store's files, which no write can clear.
    files: Option<StoreError>,
}

impl State {
    fn error(&self) -> Option<&StoreError> {
        let permanent = self.write.as_ref().filter(|error| error.is_permanent());
        permanent.or(self.files.as_ref()).or(self.write.as_ref())
    }
}

impl Health {
    /// Returns why nothing can be written now; `None` if writes succeed.
    pub fn error(&self) -> Option<StoreError> {
        self.lock().error().cloned()
    }

    /// Returns the error after which nothing is written until a restart.
    pub fn permanent_error(&self) -> Option<StoreError> {
        self.error().filter(StoreError::is_permanent)
    }

    /// Returns true if the disk was full at the last write.
    pub fn is_full(&self) -> bool {
        self.lock().write == Some(StoreError::Full)
    }

    /// Records that a transaction was committed.
    pub fn set_writable(&self) {
        self.update(|state| state.write = None);
    }

    /// Records an error that affects all writes.
    pub fn set_error(&self, error: StoreError) {
        self.update(|state| state.write = Some(error));
    }

    /// Records the result of a check of the store's files.
    pub fn set_files(&self, result: Result<(), StoreError>) {
        self.update(|state| state.files = result.err());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let before = state.error().cloned();
        if before.as_ref().is_some_and(StoreError::is_permanent) {
            return;
        }
        change(&mut state);
        let after = state.error().cloned();
        drop(state);
        log_change(before.as_ref(), after.as_ref());
    }
}

fn log_change(before: Option<&StoreError>, after: Option<&StoreError>) {
    if before == after {
        return;
    }
    match (before, after) {
        (_, Some(error)) if error.is_permanent() => {
            tracing::error!(%error, "the job store records nothing until a restart; jobs pause");
        }
        (_, Some(error @ (StoreError::Gone(_) | StoreError::Unopened(_)))) => {
            tracing::warn!(%error, "the job store does not work; jobs pause until it does");
        }
        (None, Some(error)) => {
            tracing::error!(%error, "the job store cannot be written; jobs pause until it can");
        }
        (Some(_), Some(error)) => {
            tracing::error!(%error, "the job store still cannot be written, for another reason");
        }
        (Some(_), None) => tracing::info!("the job store can be written again; jobs resume"),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Returns the log of a store whose error becomes another one.
    fn log_of(before: Option<&StoreError>, after: Option<&StoreError>) -> String {
        // The place of the log is known before the subscriber is: other tests, which have none, would register it without interest.
        log_change(before, after);
        let (mut log, writer) = std::io::pipe().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Mutex::new(writer))
            .finish();
        tracing::subscriber::with_default(subscriber, || log_change(before, after));
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_change_of_the_error_is_logged_once() {
        let (full, read_only) = (StoreError::Full, StoreError::ReadOnly);
        let gone = StoreError::Gone("the file".to_owned());
        let failed = StoreError::Io("a failed read".to_owned());
        let cases = [
            (None, Some(&full), "ERROR", "cannot be written; jobs pause"),
            (Some(&full), Some(&read_only), "ERROR", "another reason"),
            (Some(&full), Some(&gone), "WARN", "does not work"),
            (Some(&full), Some(&failed), "ERROR", "until a restart"),
            (Some(&full), None, "INFO", "can be written again"),
        ];
        for (before, after, level, message) in cases {
            let log = log_of(before, after);
            assert_eq!(log.lines().count(), 1, "{log}");
            assert!(log.contains(level) && log.contains(message), "{log}");
            assert_eq!(log_of(after, after), "");
        }
    }
}
