//! Pages of rows, bounded in bytes.

use rusqlite::ErrorCode;

/// Returns the first rows, at least one, until they have `max_bytes`. If the search is interrupted, returns those that it has found,
/// unless there are none.
pub fn first_page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    max_bytes: usize,
    size_bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = match row {
            Err(error) if !page.is_empty() && is_interruption(&error) => break,
            row => row?,
        };
        bytes += size_bytes(&row);
        page.push(row);
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(page)
}

fn is_interruption(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn an_interrupted_search_returns_what_it_has_found() {
        let interrupted =
            || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None);
        let page = |rows: Vec<_>| first_page(rows.into_iter(), 100, |_| 1);
        assert_eq!(page(vec![Ok(7), Err(interrupted())]).unwrap(), [7]);
        assert!(page(vec![Err(interrupted())]).is_err());
    }
}
