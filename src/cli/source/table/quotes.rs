//! Quotes of a CSV file: rejects those that are never closed, or closed within a cell, naming their line.

use std::io::{self, Read};

/// Mistake in the quotes of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// A quoted cell has no end.
    #[error(
        "line {0}: the double quote that begins a cell here is never closed; close it, or write a quote within a text twice"
    )]
    Unclosed(u64),
    /// Text follows the end of a quoted cell.
    #[error(
        "line {end}: a cell continues after its closing double quote{}; write a quote within a quoted cell twice",
        began(*.begin, *.end)
    )]
    Continued { begin: u64, end: u64 },
}

fn began(begin: u64, end: u64) -> String {
    if begin == end {
        String::new()
    } else {
        format!(" (the cell begins in line {begin}: is a quote missing there?)")
    }
}

/// Position of the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Unquoted,
    Quoted,
    /// After a quote within a quoted cell: the end of the cell, or the first of two quotes.
    AfterQuote,
}

/// Reader that passes a CSV file on, and fails with [`QuoteError`].
#[derive(Debug)]
pub struct QuoteCheck<R> {
    inner: R,
    delimiter: u8,
    place: Place,
    /// Number of the line, from 1.
    line: u64,
    /// Line in which the quoted cell began.
    begin: u64,
}

impl<R: Read> QuoteCheck<R> {
    pub const fn new(inner: R, delimiter: u8) -> Self {
        Self {
            inner,
            delimiter,
            place: Place::CellStart,
            line: 1,
            begin: 1,
        }
    }

    fn check(&mut self, byte: u8) -> Result<(), QuoteError> {
        let is_cell_end = byte == self.delimiter || matches!(byte, b'\n' | b'\r');
        self.place = match (self.place, byte) {
            (Place::CellStart, b'"') => {
                self.begin = self.line;
                Place::Quoted
            }
            (Place::Quoted, b'"') => Place::AfterQuote,
            (Place::Quoted, _) | (Place::AfterQuote, b'"') => Place::Quoted,
            _ if is_cell_end => Place::CellStart,
            (Place::AfterQuote, b' ') => Place::AfterQuote,
            (Place::AfterQuote, _) => {
                let (begin, end) = (self.begin, self.line);
                return Err(QuoteError::Continued { begin, end });
            }
            (Place::CellStart | Place::Unquoted, _) => Place::Unquoted,
        };
        self.line += u64::from(byte == b'\n');
        Ok(())
    }
}

impl<R: Read> Read for QuoteCheck<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        if read == 0 && !out.is_empty() && self.place == Place::Quoted {
            return Err(io::Error::other(QuoteError::Unclosed(self.begin)));
        }
        for byte in out.get(..read).unwrap_or_default() {
            self.check(*byte).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, String> {
        let mut read = String::new();
        let mut reader = QuoteCheck::new(text.as_bytes(), b',');
        let result = reader.read_to_string(&mut read);
        result.map(|_| read).map_err(|error| error.to_string())
    }

    #[test]
    fn closed_quotes_are_passed_on() {
        for text in [
            "",
            "a,b\n1,2\n",
            "\"a\",\"b \"\"c\"\"\n\"\r\n\"\",\"\"\n",
            "a\"b,5\" x\n",
            "\"a\" ,b\n\"\"",
        ] {
            assert_eq!(check(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_wrong_quote_is_named_with_its_line() {
        for (text, expected) in [
            (
                "a,b\n1,\"x\n2,y\n",
                "line 2: the double quote that begins a cell here is never closed",
            ),
            ("\"", "line 1: the double quote"),
            (
                "a\n\"x \"y\" z\"\n",
                "line 2: a cell continues after its closing double quote; ",
            ),
            (
                "a\n\"x\n\"y\"\n",
                "line 3: a cell continues after its closing double quote (the cell begins in line 2: ",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
