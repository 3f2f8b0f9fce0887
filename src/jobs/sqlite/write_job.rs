//! Write that waits for the write thread: its statements, which can be withdrawn, and the receiver of its result.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::write_class::WriteClass;
use crate::jobs::store::StoreError;

/// Statements of a write, executed within the transaction; executed again if the commit failed.
pub type Statements = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
/// Statements that the thread shares with the future that waits for them; `None` once they were withdrawn.
pub type SharedStatements = Arc<Mutex<Option<Statements>>>;
/// Receiver of a write's result, called after the commit or the failure.
pub type Report = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Write of a group.
pub struct WriteJob {
    pub class: WriteClass,
    /// Approximate size of what is written.
    pub bytes: usize,
    pub statements: SharedStatements,
    pub report: Report,
}

impl WriteJob {
    /// Executes the statements. Does nothing if they were withdrawn.
    pub fn execute(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statements = lock(&self.statements);
        let execute = |statements: &mut Statements| statements(connection);
        statements.as_mut().map_or(Ok(()), execute)
    }
}

/// Withdrawal of statements whose future is dropped: nobody counts the memory of what they hold any more. Statements that are being
/// executed are not withdrawn.
pub struct Withdrawal(pub SharedStatements);

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if let Ok(mut statements) = self.0.try_lock() {
            drop(statements.take());
        }
    }
}

/// Locks a value, whatever happened to it.
pub fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
