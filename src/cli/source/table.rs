//! CSV: a row for each input, the text in one of its columns.

use std::io::Read;

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord};
use serde::Serialize;

use super::input::OnInput;

/// Which columns count. `None`: the one that is there by its usual name.
#[derive(Debug, Clone)]
pub struct Columns {
    pub text: Option<String>,
    pub id: Option<String>,
    pub delimiter: char,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    input: &'a str,
}

pub fn read(
    reader: impl Read,
    name: &str,
    columns: &Columns,
    each: &mut OnInput,
) -> anyhow::Result<()> {
    let Ok(delimiter) = u8::try_from(columns.delimiter) else {
        bail!("--delimiter: it has to be an ASCII character")
    };
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(reader);
    let header = rows.headers().with_context(|| name.to_owned())?.clone();
    let (text, id) = columns.find(&header).with_context(|| name.to_owned())?;
    let mut row = StringRecord::new();
    while rows
        .read_record(&mut row)
        .with_context(|| name.to_owned())?
    {
        let id = id.and_then(|id| row.get(id)).filter(|id| !id.is_empty());
        each(&serde_json::to_string(&Row {
            id,
            input: row.get(text).unwrap_or_default(),
        })?)?;
    }
    Ok(())
}

impl Columns {
    /// Where the text and the id stand.
    fn find(&self, header: &StringRecord) -> anyhow::Result<(usize, Option<usize>)> {
        let at = |name: &str| header.iter().position(|column| column == name);
        let named = |flag: &str, name: &str| {
            at(name).with_context(|| {
                format!(
                    "line 1: there is no column `{name}` ({flag}); it has {}",
                    listed(header)
                )
            })
        };
        let only = || (header.len() == 1).then_some(0);
        let text = match &self.text {
            Some(name) => named("--text-column", name)?,
            None => at("text")
                .or_else(|| at("input"))
                .or_else(only)
                .with_context(|| {
                    format!(
                        "line 1: which column is the text? Say it with --text-column; it has {}",
                        listed(header)
                    )
                })?,
        };
        let id = match &self.id {
            Some(name) => Some(named("--id-column", name)?),
            None => at("id").filter(|id| *id != text),
        };
        Ok((text, id))
    }
}

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
        collect(|each| super::read(bytes, "a.csv", &columns, each))
    }

    #[test]
    fn a_row_is_an_input_whatever_its_quotes_hold() {
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
    fn what_is_wrong_is_named() {
        for (table, text, said) in [
            (
                &b"a,b\n1,2\n"[..],
                None,
                "line 1: which column is the text? Say it with --text-column; it has `a`, `b`",
            ),
            (
                b"a,b\n1,2\n",
                Some("c"),
                "line 1: there is no column `c` (--text-column); it has `a`, `b`",
            ),
            (b"text,b\n1,2\n3\n", None, "line: 3"),
            (b"text,b\n1,\xff\n", None, "line 2"),
        ] {
            let error = read(table, text).unwrap_err();
            assert!(
                error.starts_with("a.csv: ") && error.contains(said),
                "{error}"
            );
        }
    }
}
