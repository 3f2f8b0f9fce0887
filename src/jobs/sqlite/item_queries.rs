//! Reads of a job's items: pending inputs, crash suspects, events and results.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::page::{MAX_ROWS_PER_READ, first_page};
use super::queries::status;
use super::rowid::{job_of, job_rowids, number_of, to_rowid};
use crate::jobs::store::{
    CrashCount, CrashSuspect, Event, ItemStatus, JobKey, MAX_PAGE_BYTES, PageSize, PendingItem,
    ResultOrder, Scan, Status,
};

/// Maximum number of crash suspects.
const MAX_SUSPECTS: u32 = 10_000;

/// Returns items without a result, by index, beginning with the index `from`.
pub fn pending(
    connection: &Connection,
    job: JobKey,
    from: u32,
    limit: u32,
) -> rusqlite::Result<Scan<Vec<PendingItem>>> {
    let sql =
        pending_sql("inputs.place, inputs.body, coalesce(items.lost, 0), coalesce(items.alone, 0)");
    let [first, last] = scanned_rowids(job, from);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![first, last, limit], pending_from_row)?;
    let page = first_page(rows, MAX_PAGE_BYTES, |pending| pending.input.len())?;
    if page.is_empty() {
        return scan_on(connection, "inputs", job, last, page);
    }
    Ok(Scan::Page(page))
}

/// Returns the size of the page that [`pending`] returns for a limit of as many rows, without reading the inputs.
pub fn pending_size(
    connection: &Connection,
    job: JobKey,
    from: u32,
    limit: u32,
) -> rusqlite::Result<Scan<PageSize>> {
    let sql = pending_sql("length(inputs.body)");
    let [first, last] = scanned_rowids(job, from);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![first, last, limit])?;
    let mut size = PageSize { rows: 0, bytes: 0 };
    while let Some(row) = rows.next()? {
        let length: u32 = row.get(0)?;
        let bytes = size.bytes.saturating_add(length as usize);
        if size.rows > 0 && bytes > MAX_PAGE_BYTES {
            break;
        }
        size.rows += 1;
        size.bytes = bytes;
    }
    if size.rows == 0 {
        return scan_on(connection, "inputs", job, last, size);
    }
    Ok(Scan::Page(size))
}

/// Returns the first and the last row ID of the inputs or events that one read looks at.
fn scanned_rowids(job: JobKey, from: u32) -> [i64; 2] {
    let [_, last] = job_rowids(job);
    let first = to_rowid(job, from);
    [first, last.min(first + i64::from(MAX_ROWS_PER_READ) - 1)]
}

/// Returns where a read goes on that found nothing up to the row ID `last`; `empty` after the last row of the table.
fn scan_on<T>(
    connection: &Connection,
    table: &str,
    job: JobKey,
    last: i64,
    empty: T,
) -> rusqlite::Result<Scan<T>> {
    let [_, end] = job_rowids(job);
    let sql = format!("SELECT min(place) FROM {table} WHERE place > ?1 AND place <= ?2");
    let next: Option<i64> = connection
        .prepare_cached(&sql)?
        .query_row([last, end], |row| row.get(0))?;
    Ok(next.map_or(Scan::Page(empty), |rowid| Scan::GoOn(number_of(rowid))))
}

/// Returns the query of these columns of the items without a result, by index.
fn pending_sql(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM inputs LEFT JOIN items USING (place)
         WHERE inputs.place BETWEEN ?1 AND ?2 AND items.event IS NULL ORDER BY inputs.place LIMIT ?3"
    )
}

/// Returns the size of an item's input, without reading it.
pub fn input_size(
    connection: &Connection,
    job: JobKey,
    index: u32,
) -> rusqlite::Result<Option<usize>> {
    connection
        .prepare_cached("SELECT length(body) FROM inputs WHERE place = ?1")?
        .query_row([to_rowid(job, index)], |row| row.get::<_, u32>(0))
        .map(|bytes| bytes as usize)
        .optional()
}

/// Returns the input of an item.
pub fn input(
    connection: &Connection,
    job: JobKey,
    index: u32,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT body FROM inputs WHERE place = ?1")?
        .query_row([to_rowid(job, index)], |row| row.get(0))
        .optional()
}

/// Returns the items of any job that were in flight during at least this many crashes, most suspicious first.
pub fn crash_suspects(
    connection: &Connection,
    crashes: u32,
) -> rusqlite::Result<Vec<CrashSuspect>> {
    let sql =
        "SELECT inputs.place, items.lost, items.alone FROM items CROSS JOIN inputs USING (place)
               WHERE items.lost > 0 AND items.lost >= ?1 AND items.event IS NULL 
               ORDER BY items.alone DESC, items.lost DESC, random() LIMIT ?2";
    connection
        .prepare_cached(sql)?
        .query_map([crashes, MAX_SUSPECTS], |row| {
            Ok(CrashSuspect {
                job: job_of(row.get(0)?),
                index: number_of(row.get(0)?),
                crash_count: CrashCount {
                    crashes: row.get(1)?,
                    isolated: row.get(2)?,
                },
            })
        })?
        .collect()
}

/// Converts a row of: row ID, input, number of crashes, number of isolated crashes.
fn pending_from_row(row: &Row<'_>) -> rusqlite::Result<PendingItem> {
    Ok(PendingItem {
        index: number_of(row.get(0)?),
        input: row.get(1)?,
        crash_count: CrashCount {
            crashes: row.get(2)?,
            isolated: row.get(3)?,
        },
    })
}

/// Returns the events with a number above `after`, by number.
pub fn events(
    connection: &Connection,
    job: JobKey,
    after: u32,
    page: PageSize,
) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT place, item, status, body FROM events WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3";
    let [_, last] = job_rowids(job);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        params![to_rowid(job, after), last, page.rows],
        event_from_row,
    )?;
    first_page(rows, page.bytes, |event| event.body.len())
}

/// Page of a job's results.
#[derive(Debug, Clone, Copy)]
pub struct ResultQuery {
    pub order: ResultOrder,
    /// Status of the results; `None`: all.
    pub only: Option<ItemStatus>,
    pub page: PageSize,
}

/// Returns results, beginning with the index or event number `from`, depending on the order. A result that a retry replaced is not
/// included. In input order, they end before the first item without a result.
pub fn results(
    connection: &Connection,
    job: JobKey,
    query: &ResultQuery,
    from: u32,
) -> rusqlite::Result<Scan<Vec<Event>>> {
    results_with(connection, job, query, "events.body", from)
}

/// Returns true if there is a result that [`results`] would return, which may be large, without reading it.
pub fn has_results(
    connection: &Connection,
    job: JobKey,
    order: ResultOrder,
    only: Option<ItemStatus>,
    from: u32,
) -> rusqlite::Result<Scan<bool>> {
    let page = PageSize::of_rows(1);
    let query = ResultQuery { order, only, page };
    Ok(match results_with(connection, job, &query, "x''", from)? {
        Scan::Page(page) => Scan::Page(!page.is_empty()),
        Scan::GoOn(next) => Scan::GoOn(next),
    })
}

/// Returns results as [`results`] does, with this expression as their bodies.
fn results_with(
    connection: &Connection,
    job: JobKey,
    query: &ResultQuery,
    body: &str,
    from: u32,
) -> rusqlite::Result<Scan<Vec<Event>>> {
    // An item that ends between the two queries would be left out.
    let snapshot = connection.unchecked_transaction()?;
    let [first, last] = scanned_rowids(job, from);
    // A client that has all results up to an open item asks again and again.
    if query.order == ResultOrder::Input
        && first_without_result(&snapshot, job, [first, first])?.is_some()
    {
        return Ok(Scan::Page(Vec::new()));
    }
    let mut statement = snapshot.prepare_cached(&results_sql(query, body))?;
    let rows = statement.query_map(params![first, last, query.page.rows], event_from_row)?;
    let mut page = first_page(rows, query.page.bytes, |event| event.body.len())?;
    let table = match query.order {
        ResultOrder::Completion => "events",
        ResultOrder::Input => {
            let index = |event: &Event| event.item.map(|(index, _)| index);
            let until = page.last().and_then(index);
            let until = until.map_or(last, |index| to_rowid(job, index));
            if let Some(gap) = first_without_result(&snapshot, job, [first, until])? {
                let gap = number_of(gap);
                page.retain(|event| index(event).is_some_and(|index| index < gap));
                return Ok(Scan::Page(page));
            }
            "inputs"
        }
    };
    if page.is_empty() {
        return scan_on(&snapshot, table, job, last, page);
    }
    Ok(Scan::Page(page))
}

fn results_sql(query: &ResultQuery, body: &str) -> String {
    let (outer, joined) = match query.order {
        ResultOrder::Input => (
            "items",
            "events ON events.place = ((items.place >> 32) << 32) | items.event",
        ),
        ResultOrder::Completion => (
            "events",
            "items ON items.place = ((events.place >> 32) << 32) | events.item",
        ),
    };
    let filter = match query.only {
        None => String::new(),
        Some(ItemStatus::Succeeded) => format!("AND {outer}.status = 0"),
        // `status > 0` is the condition of the partial index over the few results that did not succeed.
        Some(status) => format!(
            "AND {outer}.status = {} AND {outer}.status > 0",
            status as i64
        ),
    };
    // CROSS JOIN keeps the order of the tables. The comparison of the event excludes results that a retry replaced.
    format!(
        "SELECT events.place, events.item, events.status, {body} FROM {outer} CROSS JOIN {joined}
         WHERE {outer}.place BETWEEN ?1 AND ?2 {filter} AND items.event = events.place & 4294967295
         ORDER BY {outer}.place LIMIT ?3"
    )
}

/// Returns the row ID of the first input without a result between two row IDs; `None` if the job has ended or was removed.
fn first_without_result(
    connection: &Connection,
    job: JobKey,
    between: [i64; 2],
) -> rusqlite::Result<Option<i64>> {
    if status(connection, job)?.is_none_or(Status::is_ended) {
        return Ok(None);
    }
    let [first, last] = between;
    connection
        .prepare_cached(&pending_sql("inputs.place"))?
        .query_row([first, last, 1], |row| row.get(0))
        .optional()
}

/// Converts a row of: row ID, index of the item, status, body.
fn event_from_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    let index: Option<u32> = row.get(1)?;
    let status: Option<u8> = row.get(2)?;
    let status = status.and_then(|status| ItemStatus::ALL.get(usize::from(status)).copied());
    Ok(Event {
        number: number_of(row.get(0)?),
        item: index.zip(status),
        body: row.get(3)?,
    })
}

/// Returns the number of the last event of a failed item. The index over the few events that did not succeed has it.
pub fn last_failed_event(connection: &Connection, job: JobKey) -> rusqlite::Result<Option<u32>> {
    let [first, last] = job_rowids(job);
    let rowid: Option<i64> = connection
        .prepare_cached(&last_failed_sql())?
        .query_row([first, last], |row| row.get(0))?;
    Ok(rowid.map(number_of))
}

fn last_failed_sql() -> String {
    // `status > 0` is the condition of the partial index, which is not used for a parameter.
    format!(
        "SELECT max(place) FROM events WHERE place BETWEEN ?1 AND ?2 AND status = {} AND status > 0",
        ItemStatus::Failed as i64
    )
}

/// Returns true if an end of the job is among its events, from the number `from` on.
pub fn has_end_from(
    connection: &Connection,
    job: JobKey,
    from: u32,
) -> rusqlite::Result<Scan<bool>> {
    let sql = "SELECT max(place), max(item IS NULL) FROM events WHERE place BETWEEN ?1 AND ?2";
    let [first, last] = scanned_rowids(job, from);
    let (found, has_end): (Option<i64>, Option<bool>) = connection
        .prepare_cached(sql)?
        .query_row([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The numbers of events have no gaps.
    Ok(match found {
        Some(rowid) if rowid == last && has_end == Some(false) => {
            Scan::GoOn(number_of(rowid).saturating_add(1))
        }
        _ => Scan::Page(has_end == Some(true)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::migrations;
    use super::*;

    #[test]
    fn the_last_failed_event_is_found_in_the_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&mut connection).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", last_failed_sql());
        let [first, last] = job_rowids(JobKey(1));
        let plan: String = connection
            .query_row(&sql, [first, last], |row| row.get("detail"))
            .unwrap();
        assert!(plan.contains("events_not_succeeded"), "{plan}");
    }
}
