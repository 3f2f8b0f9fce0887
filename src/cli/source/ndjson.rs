//! NDJSON input: one input per line, in the server's format. Blank lines are skipped and do not
//! count as inputs.

use std::io::{BufRead, Read};

use anyhow::{Context, bail};

use super::input::{OnInput, json_error};
use crate::types::Item;

/// Maximum length of a line in bytes; the server's limit is far lower (`server.max_line_bytes`).
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Passes each line to `on_input`.
pub fn read(mut reader: impl BufRead, name: &str, on_input: &mut OnInput) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("cannot read {name}"))?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            bail!("{name}, line {number}: it is longer than {MAX_LINE_BYTES} bytes");
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            bail!("{name}, line {number}: it is not UTF-8")
        };
        let text = if number == 1 {
            text.trim_start_matches('\u{feff}')
        } else {
            text
        }
        .trim_ascii();
        if text.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_str::<Item>(text) {
            bail!(
                "{name}, line {number}, column {}: {}",
                error.column(),
                json_error(&error)
            );
        }
        on_input(text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::input::collect;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        collect(|on_input| super::read(bytes, "a.ndjson", on_input))
    }

    #[test]
    fn each_line_is_an_input() {
        let text = "\u{feff}\"a\"\r\n\n  \n{\"id\": \"x\", \"input\": \"ü\"} \n\"last\"";
        assert_eq!(
            read(text.as_bytes()).unwrap(),
            ["\"a\"", "{\"id\": \"x\", \"input\": \"ü\"}", "\"last\""]
        );
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn an_invalid_line_is_named() {
        for (bytes, place, message) in [
            (
                &b"\"a\"\n\n{\"input\": \n"[..],
                "a.ndjson, line 3, column ",
                "EOF while parsing a value",
            ),
            (b"\"\xff\"", "a.ndjson, line 1: ", "it is not UTF-8"),
            (
                b"\"a\"\n17\n",
                "a.ndjson, line 2, column ",
                "invalid type: integer `17`, expected a string, an array",
            ),
            (
                b"{\"text\": \"a\"}",
                "a.ndjson, line 1, column ",
                "unknown field `text`",
            ),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(
                error.starts_with(place) && error.contains(message) && !error.contains(" at line "),
                "{error}"
            );
        }
    }
}
