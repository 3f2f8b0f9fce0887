//! Group commit: executes a group of writes in one transaction, without those that are rejected.

use rusqlite::Connection;

use super::database::Database;
use super::error::from_sqlite;
use super::recovery::probe_write;
use super::write_job::WriteJob;
use crate::jobs::store::StoreError;

/// Executes a group in one transaction, or a probe if it is empty. Writes that are rejected are reported and taken out of the
/// group; the others are executed once, however many are rejected.
///
/// # Errors
/// Nothing was written, for a reason that is not of a single write.
pub fn execute_group(database: &mut Database, group: &mut Vec<WriteJob>) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    if group.is_empty() {
        let probed = probe_write(&transaction).and_then(|()| transaction.commit());
        return probed.map_err(|error| from_sqlite(database.connection(), &error));
    }
    // A write alone is rejected with its transaction.
    let is_alone = group.len() == 1;
    let mut waiting = std::mem::take(group).into_iter();
    while let Some(write) = waiting.next() {
        let result = if is_alone {
            write.execute(&transaction)
        } else {
            execute_in_savepoint(&transaction, &write)
        };
        let Err(error) = result.map_err(|error| from_sqlite(&transaction, &error)) else {
            group.push(write);
            continue;
        };
        // Without memory, SQLite may have rolled the transaction back.
        let is_lost = transaction.is_autocommit();
        if error.affects_all_writes() {
            group.push(write);
        } else {
            (write.report)(Err(error.clone()));
            if !is_lost {
                continue;
            }
        }
        group.extend(waiting);
        return Err(error);
    }
    if group.is_empty() {
        return Ok(());
    }
    let committed = transaction.commit();
    committed.map_err(|error| from_sqlite(database.connection(), &error))
}

/// Executes a write of a group, and undoes what it did if it is rejected.
fn execute_in_savepoint(connection: &Connection, write: &WriteJob) -> rusqlite::Result<()> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    execute("SAVEPOINT of_write")?;
    let result = write.execute(connection);
    // An error that ended the transaction has undone everything.
    if connection.is_autocommit() {
        return result;
    }
    if result.is_err() && execute("ROLLBACK TO of_write").is_err() {
        execute("ROLLBACK")?;
        return result;
    }
    execute("RELEASE of_write")?;
    result
}

/// Reports to each write of a group that it is on disk.
pub fn report_success(group: Vec<WriteJob>) {
    for write in group {
        (write.report)(Ok(()));
    }
}
