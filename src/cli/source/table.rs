//! CSV input: one input per row, with the text in one of its columns.

use std::io::Read;

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord};
use serde::Serialize;

use super::input::OnInput;

/// Names of the columns to read. `None`: the usual name, if the table has such a column.
#[derive(Debug, Clone)]
pub struct Columns {
    pub text: Option<String>,
    pub id: Option<String>,
    pub delimiter: char,
}

/// Input as the server takes it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    input: &'a str,
}

/// Passes each row to `on_input`.
pub fn read(
    reader: impl Read,
    name: &str,
    columns: &Columns,
    on_input: &mut OnInput,
) -> anyhow::Result<()> {
    let Ok(delimiter) = u8::try_from(columns.delimiter) else {
        bail!("--delimiter must be an ASCII character")
    };
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(reader);
    let header = rows.headers().with_context(|| name.to_owned())?.clone();
    let (text, id) = columns
        .positions(&header)
        .with_context(|| name.to_owned())?;
    let mut row = StringRecord::new();
    while rows
        .read_record(&mut row)
        .with_context(|| name.to_owned())?
    {
        let id = id.and_then(|id| row.get(id)).filter(|id| !id.is_empty());
        on_input(&serde_json::to_string(&Row {
            id,
            input: row.get(text).unwrap_or_default(),
        })?)?;
    }
    Ok(())
}

impl Columns {
    /// Returns the positions of the columns with the text and the id.
    fn positions(&self, header: &StringRecord) -> anyhow::Result<(usize, Option<usize>)> {
        let position = |name: &str| header.iter().position(|column| column == name);
        let required = |flag: &str, name: &str| {
            position(name).with_context(|| {
                format!(
                    "line 1: there is no column `{name}` ({flag}); the columns are {}",
                    listed(header)
                )
            })
        };
        let only = || (header.len() == 1).then_some(0);
        let text = match &self.text {
            Some(name) => required("--text-column", name)?,
            None => position("text")
                .or_else(|| position("input"))
                .or_else(only)
                .with_context(|| {
                    format!(
                        "line 1: the column with the text is not clear; set it with --text-column; the columns are {}",
                        listed(header)
                    )
                })?,
        };
        let id = match &self.id {
            Some(name) => Some(required("--id-column", name)?),
            None => position("id").filter(|id| *id != text),
        };
        Ok((text, id))
    }
}

/// Returns the names of the columns for messages.
fn listed(header: &StringRecord) -> String {
    header
        .iter()
        .map(|column| format!("`{column}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::input::collect;
    use super::*;

    fn read(bytes: &[u8], text: Option<&str>) -> Result<Vec<String>, String> {
        let columns = Columns {
            text: text.map(str::to_owned),
            id: None,
            delimiter: ',',
        };
        collect(|on_input| super::read(bytes, "a.csv", &columns, on_input))
    }

    #[test]
    fn a_row_with_quotes_and_line_breaks_is_one_input() {
        let table = "\u{feff}id,text,more\n1,\"a, \"\"b\"\"\nc\",x\n,d,\n";
        let expected = [r#"{"id":"1","input":"a, \"b\"\nc"}"#, r#"{"input":"d"}"#];
        assert_eq!(read(table.as_bytes(), None).unwrap(), expected);
        assert_eq!(
            read(table.as_bytes(), Some("more")).unwrap(),
            [r#"{"id":"1","input":"x"}"#, r#"{"input":""}"#]
        );
        assert_eq!(
            read(b"note\r\nhello\r\n", None).unwrap(),
            [r#"{"input":"hello"}"#]
        );
    }

    #[test]
    fn errors_name_their_position() {
        for (table, text, message) in [
            (
                &b"a,b\n1,2\n"[..],
                None,
                "line 1: the column with the text is not clear; set it with --text-column; the columns are `a`, `b`",
            ),
            (
                b"a,b\n1,2\n",
                Some("c"),
                "line 1: there is no column `c` (--text-column); the columns are `a`, `b`",
            ),
            (b"text,b\n1,2\n3\n", None, "line: 3"),
            (b"text,b\n1,\xff\n", None, "line 2"),
        ] {
            let error = read(table, text).unwrap_err();
            assert!(
                error.starts_with("a.csv: ") && error.contains(message),
                "{error}"
            );
        }
    }
}
