//! Pages of rows, and the maximum of what one read looks at.

/// Maximum number of rows (jobs, inputs, items or events) that one read of a search looks at, in some milliseconds. A read keeps its
/// connection from others, and the write-ahead log from beginning anew.
pub const MAX_ROWS_PER_READ: u32 = 10_000;

/// Returns the first rows, at least one, until they have `max_bytes`.
pub fn first_page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    max_bytes: usize,
    size_bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += size_bytes(&row);
        page.push(row);
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(page)
}
