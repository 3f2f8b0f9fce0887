//! Lines of the log: their format and their maximum length.

use std::io::{self, Write};

use serde_json::json;

/// Maximum length of a line, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Length of what is kept of a longer line, in bytes.
const KEPT_BYTES: usize = 4 * 1024;

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

/// Writer of whole lines, which shortens those above 16 KiB.
#[derive(Debug)]
pub struct BoundedLines<W> {
    out: W,
    format: LogFormat,
}

impl<W> BoundedLines<W> {
    /// Creates a writer of lines in this format.
    pub const fn new(out: W, format: LogFormat) -> Self {
        Self { out, format }
    }
}

impl<W: Write> Write for BoundedLines<W> {
    /// Writes a line, which comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() <= MAX_LINE_BYTES {
            self.out.write_all(line)?;
        } else {
            let shortened = shortened(line, self.format);
            self.out.write_all(shortened.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the beginning of a line that is too long, and its length, as a line in this format.
fn shortened(line: &[u8], format: LogFormat) -> String {
    let bytes = line.len();
    let kept = line.get(..KEPT_BYTES).unwrap_or(line);
    let begins = String::from_utf8_lossy(kept);
    match format {
        LogFormat::Text => format!("{begins} … (the line has {bytes} bytes)\n"),
        LogFormat::Json => {
            let message = "a line of the log is too long";
            let line =
                json!({"level": "WARN", "message": message, "bytes": bytes, "begins": begins});
            format!("{line}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, format: LogFormat) -> String {
        let mut out = Vec::new();
        let mut lines = BoundedLines::new(&mut out, format);
        lines.write_all(line.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_that_is_too_long_is_shortened_and_says_so() {
        let short = format!("{}\n", "a".repeat(MAX_LINE_BYTES - 1));
        assert_eq!(written(&short, LogFormat::Text), short);
        let long = format!("{}\n", "\"é".repeat(MAX_LINE_BYTES));
        let text = written(&long, LogFormat::Text);
        assert!(text.starts_with("\"é\"é") && text.ends_with("bytes)\n"));
        assert!(text.len() < KEPT_BYTES + 100, "{}", text.len());
        let line = written(&long, LogFormat::Json);
        assert!(line.len() < MAX_LINE_BYTES && line.ends_with('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["bytes"], long.len());
        assert!(value["begins"].as_str().unwrap().starts_with("\"é\"é"));
    }
}
