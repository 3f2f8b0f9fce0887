//! NDJSON input: one input per line, in the server's format. Blank lines are skipped and do not
//! count as inputs.

use std::io::{BufRead, Read};

use anyhow::bail;

use super::input::OnInput;
use crate::cli::utf8::read_error;
use crate::types::{Item, plain_message};

/// Maximum length of a line in bytes; the server's limit is far lower (`server.max_line_bytes`).
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Passes each line to `on_input`.
pub fn read_ndjson(
    mut reader: impl BufRead,
    name: &str,
    on_input: &mut OnInput,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line);
        let read = read.map_err(|error| read_error(name, error))?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            bail!("{name}, line {number}: it is longer than {MAX_LINE_BYTES} bytes");
        }
        let Ok(text) = std::str::from_utf8(line.trim_ascii()) else {
            bail!("{name}, line {number}: it is not UTF-8")
        };
        if text.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_str::<Item>(text) {
            bail!(
                "{name}, line {number}, column {}: {}",
                error.column(),
                plain_message(&error)
            );
        }
        on_input(text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::input::collect;
    use super::read_ndjson;
    use crate::cli::utf8::Utf8Reader;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        let reader = std::io::BufReader::new(Utf8Reader::new(bytes));
        collect(|on_input| read_ndjson(reader, "a.ndjson", on_input))
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
                "it ends where a value is expected",
            ),
            (b"\"\xff\"", "a.ndjson: line 1 ", "is not UTF-8"),
            (
                b"\"a\"\n17\n",
                "a.ndjson, line 2, column ",
                "expected a string, an array of content parts",
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
