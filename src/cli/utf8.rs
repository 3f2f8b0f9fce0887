//! UTF-8 of text files: removes the byte order mark, and names the line of bytes that are not UTF-8.

use std::io::{self, Read};
use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, anyhow};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Byte order marks of UTF-16, which spreadsheets write as "Unicode text".
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct NotUtf8 {
    /// Number of the line, from 1.
    line: u64,
    is_utf_16: bool,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        if self.is_utf_16 {
            f.write_str(
                "the text is UTF-16 and not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW",
            )
        } else {
            write!(
                f,
                "line {line} is not UTF-8; if the text is Latin-1 (Windows-1252), convert it: \
                 iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
            )
        }
    }
}

/// Returns the text without its byte order mark.
///
/// # Errors
/// If it is not UTF-8; `name` is the name of the file.
pub fn decode(bytes: &[u8], name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    Utf8Reader::new(bytes)
        .read_to_string(&mut text)
        .map_err(|error| read_error(name, error))?;
    Ok(text)
}

/// Reads a text file.
///
/// # Errors
/// If it cannot be read, or is not UTF-8.
pub fn text_file(path: &Path) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    decode(&bytes, &name)
}

/// Returns the error of reading a file of this name.
pub fn read_error(name: &str, error: io::Error) -> anyhow::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(reason @ NotUtf8 { .. }) => anyhow!("{name}: {reason}"),
        None => anyhow::Error::from(error).context(format!("cannot read {name}")),
    }
}

/// Reader that removes the byte order mark, and fails with [`NotUtf8`].
#[derive(Debug)]
pub struct Utf8Reader<R> {
    inner: R,
    /// Bytes that are read and not passed on.
    buffer: Vec<u8>,
    /// Number of bytes of `buffer` that were passed on.
    passed: usize,
    /// Number of bytes of `buffer` that are valid.
    valid: usize,
    /// Number of line breaks before `buffer`.
    lines: u64,
    is_begun: bool,
}

impl<R: Read> Utf8Reader<R> {
    pub const fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            passed: 0,
            valid: 0,
            lines: 0,
            is_begun: false,
        }
    }

    /// Reads more bytes. Returns false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let checked = self.buffer.get(..self.valid).unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', checked).count() as u64;
        // The begin of a character whose other bytes were not read yet stays.
        self.buffer.drain(..self.valid);
        (self.passed, self.valid) = (0, 0);
        let mut read = self.read_chunk()?;
        if !std::mem::replace(&mut self.is_begun, true) {
            while read > 0 && self.buffer.len() < BYTE_ORDER_MARK.len() {
                read = self.read_chunk()?;
            }
            self.skip_mark()?;
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(_) => self.valid = self.buffer.len(),
            Err(error) => {
                self.valid = error.valid_up_to();
                if error.error_len().is_some() || read == 0 {
                    return Err(self.not_utf8(false));
                }
            }
        }
        Ok(read > 0 || self.valid > 0)
    }

    /// Adds bytes to the buffer. Returns their number; 0 at the end.
    fn read_chunk(&mut self) -> io::Result<usize> {
        const CHUNK_BYTES: usize = 64 * 1024;
        let kept = self.buffer.len();
        self.buffer.resize(kept + CHUNK_BYTES, 0);
        let read = self
            .inner
            .read(self.buffer.get_mut(kept..).unwrap_or_default())?;
        self.buffer.truncate(kept + read);
        Ok(read)
    }

    fn skip_mark(&mut self) -> io::Result<()> {
        if UTF_16_MARKS
            .iter()
            .any(|mark| self.buffer.starts_with(mark))
        {
            return Err(self.not_utf8(true));
        }
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    fn not_utf8(&self, is_utf_16: bool) -> io::Error {
        let before = self.buffer.get(..self.valid).unwrap_or_default();
        let lines = self.lines + memchr::memchr_iter(b'\n', before).count() as u64;
        let line = lines + 1;
        io::Error::other(NotUtf8 { line, is_utf_16 })
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.passed == self.valid && !out.is_empty() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let ready = self.buffer.get(self.passed..self.valid).unwrap_or_default();
        let read = { ready }.read(out)?;
        self.passed += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reader that returns one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = out.len().min(1);
            self.0.read(&mut out[..count])
        }
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        let whole = decode(bytes, "a").map_err(|error| format!("{error:#}"));
        let mut text = String::new();
        let dropwise = Utf8Reader::new(Drops(bytes)).read_to_string(&mut text);
        let dropwise = dropwise
            .map(|_| text)
            .map_err(|error| read_error("a", error));
        assert_eq!(dropwise.map_err(|error| format!("{error:#}")), whole);
        whole
    }

    #[test]
    fn text_is_read_without_its_byte_order_mark() {
        assert_eq!(read("\u{feff}ü\n漢字 🦀".as_bytes()).unwrap(), "ü\n漢字 🦀");
        for text in ["", "a", "ab", "é"] {
            assert_eq!(read(text.as_bytes()).unwrap(), text);
        }
        assert_eq!(read("a\u{feff}".as_bytes()).unwrap(), "a\u{feff}");
    }

    #[test]
    fn another_encoding_is_named_with_its_line() {
        for (bytes, expected) in [
            (
                &b"a\nb\nM\xfcller\n"[..],
                "a: line 3 is not UTF-8; if the text is Latin-1",
            ),
            (b"\xe9", "a: line 1 is not UTF-8"),
            ("a\n漢".as_bytes().split_at(3).0, "a: line 2 is not UTF-8"),
            (b"\xff\xfea\0", "a: the text is UTF-16"),
            (b"\xfe\xff\0a", "a: the text is UTF-16"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(
                error.starts_with(expected) && error.contains("iconv -f "),
                "{error}"
            );
        }
    }
}
