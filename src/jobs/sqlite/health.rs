//! Health of the store, shared by the write thread and the readers: the error because of which nothing can be written.

use std::sync::{Mutex, PoisonError};

use crate::jobs::store::StoreError;

/// Current error of the store. A permanent error stays until a restart.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<StoreError>>);

impl Health {
    /// Returns why nothing can be written now; `None` if writes succeed.
    pub fn error(&self) -> Option<StoreError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the error after which nothing is written until a restart.
    pub fn permanent_error(&self) -> Option<StoreError> {
        self.error().filter(StoreError::is_permanent)
    }

    /// Records that a transaction was committed.
    pub fn set_writable(&self) {
        self.set(None);
    }

    /// Records an error that affects all writes.
    pub fn set_error(&self, error: StoreError) {
        self.set(Some(error));
    }

    fn set(&self, new: Option<StoreError>) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(StoreError::is_permanent) {
            return;
        }
        match (&*current, &new) {
            (_, Some(error)) if error.is_permanent() => {
                tracing::error!(%error, "the job store records nothing until a restart; jobs pause");
            }
            (None, Some(error)) => {
                tracing::error!(%error, "the job store cannot be written; jobs pause until it can");
            }
            (Some(_), None) => tracing::info!("the job store can be written again; jobs resume"),
            _ => {}
        }
        *current = new;
    }
}
