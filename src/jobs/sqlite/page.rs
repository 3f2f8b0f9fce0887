//! Pages of rows, bounded in bytes.

/// Size at which a page of inputs, events or jobs ends.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Returns the first rows, at least one, up to about a megabyte.
pub fn first_page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    size_bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += size_bytes(&row);
        page.push(row);
        if bytes >= MAX_PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}
