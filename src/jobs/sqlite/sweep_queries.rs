//! Reads of jobs that are to be removed, by caller: those of one caller hide none of the others.

use rusqlite::{Connection, params};

use crate::jobs::store::{HiddenJob, JobKey, UnixMillis};

/// Maximum number of expired jobs of one caller that one query returns. Their marks share a few transactions.
const MAX_EXPIRED_PER_CALLER: u32 = 100;
/// Maximum number of hidden jobs of one caller that one query returns: more than this process removes at a time.
const MAX_HIDDEN_PER_CALLER: u32 = 2_000;

/// Returns jobs whose retention has passed with their callers, by caller, of each those that expired first.
pub fn expired(
    connection: &Connection,
    now: UnixMillis,
) -> rusqlite::Result<Vec<(JobKey, String)>> {
    // The condition is that of the index `jobs_expiring`.
    let have_ended = "jobs WHERE expires_at IS NOT NULL";
    let sql = format!(
        "SELECT key FROM {have_ended} AND caller = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3"
    );
    by_caller(connection, have_ended, |caller| {
        connection
            .prepare_cached(&sql)?
            .query_map(params![caller, now, MAX_EXPIRED_PER_CALLER], |row| {
                Ok((JobKey(row.get(0)?), caller.to_owned()))
            })?
            .collect()
    })
}

/// Returns some of the jobs that are being uploaded or removed, by caller, of each the oldest.
pub fn hidden(connection: &Connection) -> rusqlite::Result<Vec<HiddenJob>> {
    // The condition is that of the index `jobs_hidden_of_caller`.
    let are_hidden = "jobs WHERE status IN (0, 8)";
    let sql = format!("SELECT key, id FROM {are_hidden} AND caller = ?1 ORDER BY key LIMIT ?2");
    by_caller(connection, are_hidden, |caller| {
        connection
            .prepare_cached(&sql)?
            .query_map(params![caller, MAX_HIDDEN_PER_CALLER], |row| {
                Ok(HiddenJob {
                    key: JobKey(row.get(0)?),
                    id: row.get(1)?,
                    caller: caller.to_owned(),
                })
            })?
            .collect()
    })
}

/// Returns what `find` returns for each caller of these jobs, by name. `jobs` is a table and a condition, with an index by caller.
fn by_caller<T>(
    connection: &Connection,
    jobs: &str,
    find: impl Fn(&str) -> rusqlite::Result<Vec<T>>,
) -> rusqlite::Result<Vec<T>> {
    // Each is one look into the index, however many jobs a caller has.
    let first = format!("SELECT min(caller) FROM {jobs} AND caller >= ?1");
    let next = format!("SELECT min(caller) FROM {jobs} AND caller > ?1");
    let next_caller = |sql: &str, after: &str| -> rusqlite::Result<Option<String>> {
        connection
            .prepare_cached(sql)?
            .query_row([after], |row| row.get(0))
    };
    let mut found = Vec::new();
    let mut caller = next_caller(&first, "")?;
    while let Some(name) = caller {
        found.extend(find(&name)?);
        caller = next_caller(&next, &name)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::migrations::migrate;
    use super::*;
    use crate::jobs::store::Status;

    /// Returns a store with many jobs of one caller, and a newer one of another caller.
    fn store_with(status: Status, expires_at: Option<UnixMillis>) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let insert = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?4)
            INSERT INTO jobs (id, caller, status, created_at, expires_at) SELECT 'job_' || ?1 || n, ?1, ?2, 0, ?3 - n FROM numbers";
        for (caller, jobs) in [("ann", 2 * MAX_HIDDEN_PER_CALLER), ("bob", 1)] {
            let values = params![caller, status as i64, expires_at, jobs];
            connection.execute(insert, values).unwrap();
        }
        connection
    }

    fn count<'a>(callers: impl Iterator<Item = &'a String>, caller: &str) -> u32 {
        u32::try_from(callers.filter(|name| *name == caller).count()).unwrap()
    }

    #[test]
    fn the_expired_jobs_of_one_caller_hide_none_of_the_others() {
        let connection = store_with(Status::Completed, Some(10_000));
        let expired = expired(&connection, 10_000).unwrap();
        let count_of = |caller| count(expired.iter().map(|(_, name)| name), caller);
        assert_eq!(
            (count_of("ann"), count_of("bob")),
            (MAX_EXPIRED_PER_CALLER, 1)
        );
        let longest = JobKey(2 * MAX_HIDDEN_PER_CALLER);
        assert_eq!(expired.first().unwrap().0, longest);
        let none = super::expired(&connection, 0).unwrap();
        assert_eq!(none, []);
    }

    #[test]
    fn the_hidden_jobs_of_one_caller_hide_none_of_the_others() {
        let connection = store_with(Status::Deleting, None);
        let hidden = hidden(&connection).unwrap();
        let count_of = |caller| count(hidden.iter().map(|job| &job.caller), caller);
        assert_eq!(
            (count_of("ann"), count_of("bob")),
            (MAX_HIDDEN_PER_CALLER, 1)
        );
        assert_eq!(hidden.first().unwrap().key, JobKey(1));
    }
}
