//! CSV input: one input per row. Its text is made of one or more cells; the cells come back with the result as its metadata.

mod delimiter;
mod quotes;
mod text;

use std::collections::HashSet;
use std::io::BufRead;

use anyhow::{Context, anyhow, bail};
use csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde::Serialize;
use serde::ser::SerializeMap;

use super::input::{LimitReached, OnInput};
use crate::cli::utf8::read_error;
use quotes::{QuoteCheck, QuoteError};
pub use text::TextChoice;
use text::{RowText, column};

/// Maximum length of a cell that comes back, in characters: the most that a cell of a spreadsheet holds.
const MAX_CELL_CHARS: usize = 32_767;

/// Columns to read.
#[derive(Debug, Clone)]
pub struct Columns {
    pub text: TextChoice,
    /// Name of the column with the id. `None`: `id`, if the table has such a column.
    pub id: Option<String>,
    /// Delimiter. `None`: that of the first rows.
    pub delimiter: Option<char>,
    /// True if the cells come back with the result.
    pub are_kept: bool,
}

/// Input as the server takes it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    input: &'a str,
    #[serde(skip_serializing_if = "Cells::is_empty")]
    metadata: Cells<'a>,
}

/// Cells that come back with the result.
struct Cells<'a> {
    kept: &'a [(usize, String)],
    row: &'a StringRecord,
}

impl Cells<'_> {
    const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Serialize for Cells<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (position, name) in self.kept {
            let cell = self.row.get(*position).unwrap_or_default();
            if cell.len() <= MAX_CELL_CHARS || cell.chars().count() <= MAX_CELL_CHARS {
                map.serialize_entry(name, cell)?;
            }
        }
        map.end()
    }
}

/// Columns of a table, by their positions.
struct Layout {
    text: RowText,
    id: Option<usize>,
    /// Columns that come back, with their names.
    kept: Vec<(usize, String)>,
}

/// Passes each row to `on_input`. Returns the names of the columns that come back with the results, in their order.
pub fn read_csv(
    mut reader: impl BufRead,
    name: &str,
    columns: &Columns,
    on_input: &mut OnInput,
) -> anyhow::Result<Vec<String>> {
    let begin = reader.fill_buf().map_err(|error| read_error(name, error))?;
    let delimiter = columns
        .delimiter
        .unwrap_or_else(|| delimiter::detect(begin));
    let delimiter = u8::try_from(delimiter).unwrap_or(b',');
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(QuoteCheck::new(reader, delimiter));
    let csv_error = |error| csv_error(name, delimiter, error);
    let header = rows.headers().map_err(csv_error)?.clone();
    if header.is_empty() {
        bail!("{name} is empty; the first line of a table names its columns");
    }
    let layout = Layout::new(columns, &header).with_context(|| name.to_owned())?;
    let mut row = StringRecord::new();
    while rows.read_record(&mut row).map_err(csv_error)? {
        let id = layout.id.and_then(|id| row.get(id));
        let passed = on_input(&serde_json::to_string(&Row {
            id: id.filter(|id| !id.is_empty()),
            input: &layout.text.of_row(&row),
            metadata: Cells {
                kept: &layout.kept,
                row: &row,
            },
        })?);
        match passed {
            // The columns are wanted all the same.
            Err(error) if error.is::<LimitReached>() => break,
            passed => passed?,
        }
    }
    Ok(layout.kept.into_iter().map(|(_, name)| name).collect())
}

impl Layout {
    fn new(columns: &Columns, header: &StringRecord) -> anyhow::Result<Self> {
        let text = RowText::new(&columns.text, header)?;
        let id = match &columns.id {
            Some(name) => Some(column(header, "--id-column", name)?),
            None => header.iter().position(|column| column == "id"),
        };
        let id = id.filter(|id| columns.id.is_some() || !text.has(*id));
        let kept = if columns.are_kept {
            kept_columns(header, id)
        } else {
            Vec::new()
        };
        Ok(Self { text, id, kept })
    }
}

/// Returns the columns with a name, except the id's. A second column of the same name gets a number: `note.2`.
fn kept_columns(header: &StringRecord, id: Option<usize>) -> Vec<(usize, String)> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for (position, name) in header.iter().enumerate() {
        if name.is_empty() || id == Some(position) {
            continue;
        }
        let mut unique = name.to_owned();
        let mut number = 1;
        while !seen.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}.{number}");
        }
        kept.push((position, unique));
    }
    kept
}

/// Returns the error of a CSV file in plain words, with its line.
fn csv_error(name: &str, delimiter: u8, error: csv::Error) -> anyhow::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => {
            let quotes = error.get_ref().and_then(|inner| inner.downcast_ref());
            match quotes {
                Some(error) => anyhow!("{name}, {}", error as &QuoteError),
                None => read_error(name, error),
            }
        }
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let line = pos.map_or(0, |position| position.line());
            let delimiter = match delimiter {
                b'\t' => "a tab".to_owned(),
                other => format!("`{}`", char::from(other)),
            };
            anyhow!(
                "{name}, line {line}: the row has {}, but the header has {}; put a cell that contains {delimiter} or a line \
                 break in double quotes, or set --delimiter",
                counted(len),
                counted(expected_len),
            )
        }
        // The text is UTF-8, and no row is deserialized or sought.
        kind => anyhow!("{name}: the table cannot be read ({kind:?}), which is a bug"),
    }
}

fn counted(cells: u64) -> String {
    format!("{cells} cell{}", if cells == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::input::collect;
    use super::*;
    use crate::cli::utf8::Utf8Reader;

    fn columns(text: Option<&str>, are_kept: bool) -> Columns {
        Columns {
            text: text.map_or(TextChoice::Usual, |name| {
                TextChoice::Columns(vec![name.to_owned()])
            }),
            id: None,
            delimiter: None,
            are_kept,
        }
    }

    fn read(bytes: &[u8], columns: &Columns) -> Result<Vec<String>, String> {
        let reader = std::io::BufReader::new(Utf8Reader::new(bytes));
        collect(|on_input| read_csv(reader, "a.csv", columns, on_input).map(drop))
    }

    #[test]
    fn a_row_with_quotes_and_line_breaks_is_one_input() {
        let table = "\u{feff}id,text,more\n1,\"a, \"\"b\"\"\nc\",x\n,d,\n";
        let expected = [r#"{"id":"1","input":"a, \"b\"\nc"}"#, r#"{"input":"d"}"#];
        assert_eq!(
            read(table.as_bytes(), &columns(None, false)).unwrap(),
            expected
        );
        assert_eq!(
            read(table.as_bytes(), &columns(Some("more"), false)).unwrap(),
            [r#"{"id":"1","input":"x"}"#, r#"{"input":""}"#]
        );
        for table in ["note\r\nhello\r\n", "\n\nnote\nhello"] {
            assert_eq!(
                read(table.as_bytes(), &columns(None, false)).unwrap(),
                [r#"{"input":"hello"}"#]
            );
        }
    }

    #[test]
    fn the_cells_come_back_as_metadata() {
        let table = "id;text;note;;note\n1;a;x;y;z\n";
        assert_eq!(
            read(table.as_bytes(), &columns(None, true)).unwrap(),
            [r#"{"id":"1","input":"a","metadata":{"text":"a","note":"x","note.2":"z"}}"#]
        );
        let long = "x".repeat(MAX_CELL_CHARS + 1);
        let table = format!("id,text\n1,{long}\n");
        assert_eq!(
            read(table.as_bytes(), &columns(None, true)).unwrap(),
            [format!(r#"{{"id":"1","input":"{long}","metadata":{{}}}}"#)]
        );
    }

    #[test]
    fn errors_name_their_position() {
        for (table, text, message) in [
            (
                &b"a,b\n1,2\n"[..],
                None,
                "a.csv: line 1: the column with the text is not clear; set it with --text-column; the columns are `a`, `b`",
            ),
            (
                b"a,b\n1,2\n",
                Some("c"),
                "a.csv: line 1: there is no column `c` (--text-column);",
            ),
            (
                b"text,b\n1,2\n3\n",
                None,
                "a.csv, line 3: the row has 1 cell, but the header has 2 cells; put a cell that contains `,`",
            ),
            (
                b"text\tb\n1\t2\t3\n",
                None,
                "a.csv, line 2: the row has 3 cells, but the header has 2 cells; put a cell that contains a tab",
            ),
            (
                b"text,b\n1,\"2\n3,4\n",
                None,
                "a.csv, line 2: the double quote that begins a cell here is never closed",
            ),
            (b"text,b\n1,\xff\n", None, "a.csv: line 2 is not UTF-8"),
            (b"\n", None, "a.csv is empty; the first line"),
        ] {
            let error = read(table, &columns(text, true)).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
