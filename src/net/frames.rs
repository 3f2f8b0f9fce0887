//! Framing of a streamed response body: server-sent events (SSE), or lines (NDJSON).

use bytes::{Buf, BytesMut};

use super::error::Error;
use crate::long_work::append_off_worker;

/// Maximum size of a response body or of one message, in bytes; a larger one is an error.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Format of the messages in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, reduced to their data.
    /// <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation> (read 2026-11)
    Events,
    /// One message per line.
    Lines,
}

/// Incremental decoder from bytes to messages. Each byte is scanned once.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    buffer: BytesMut,
    /// Length of the buffer's prefix that is known to contain no line end.
    scanned: usize,
    /// Data of the incomplete event.
    data: Option<Vec<u8>>,
    /// True if the last line ended with a CR: a following LF belongs to it.
    after_cr: bool,
    is_first_line: bool,
    is_ended: bool,
}

impl Frames {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let (buffer, scanned, data) = (BytesMut::new(), 0, None);
        Self {
            framing,
            buffer,
            scanned,
            data,
            after_cr: false,
            is_first_line: true,
            is_ended: false,
        }
    }

    /// Appends bytes of the body.
    ///
    /// # Errors
    /// If a single message exceeds [`MAX_ANSWER_BYTES`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffered_bytes() + bytes.len() > MAX_ANSWER_BYTES {
            return Err(Error::TooLarge(MAX_ANSWER_BYTES));
        }
        let (length, capacity) = (self.buffer.len(), self.buffer.capacity());
        append_off_worker(length, capacity, bytes.len(), || {
            self.buffer.extend_from_slice(bytes);
        });
        Ok(())
    }

    /// Returns the size of the messages that were not taken, and of the one that is not complete, in bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() + self.data.as_ref().map_or(0, Vec::len)
    }

    /// Marks the end of the body: the rest of the buffer is the last message. (The standard drops an event without a blank line
    /// after it, but servers end their streams like that.)
    pub const fn end(&mut self) {
        self.is_ended = true;
    }

    /// Returns the next complete message; `None` until more bytes arrive.
    pub fn message(&mut self) -> Option<Vec<u8>> {
        while let Some(line) = self.line() {
            match self.framing {
                Framing::Lines if line.trim_ascii().is_empty() => {}
                Framing::Lines => return Some(line.to_vec()),
                Framing::Events if line.is_empty() => {
                    if let Some(data) = self.data.take() {
                        return Some(data);
                    }
                }
                Framing::Events => self.field(&line),
            }
        }
        self.data.take_if(|_| self.is_ended)
    }

    fn field(&mut self, line: &[u8]) {
        let Some(value) = line.strip_prefix(b"data") else {
            return;
        };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return,
        };
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }

    /// Returns the next line, without its line end.
    fn line(&mut self) -> Option<BytesMut> {
        if self.after_cr && self.buffer.first() == Some(&b'\n') {
            self.buffer.advance(1);
            self.after_cr = false;
        }
        self.after_cr &= self.buffer.is_empty();
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let end = match self.framing {
            Framing::Events => memchr::memchr2(b'\n', b'\r', rest),
            Framing::Lines => memchr::memchr(b'\n', rest),
        };
        let mut line = if let Some(end) = end {
            let line = self.buffer.split_to(self.scanned + end);
            self.after_cr = self.buffer.get_u8() == b'\r';
            line
        } else if self.is_ended && !self.buffer.is_empty() {
            self.buffer.split()
        } else {
            self.scanned = self.buffer.len();
            return None;
        };
        self.scanned = 0;
        if std::mem::take(&mut self.is_first_line) && line.starts_with(b"\xef\xbb\xbf") {
            line.advance(3);
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(framing: Framing, pieces: &[&[u8]]) -> Vec<String> {
        let mut frames = Frames::new(framing);
        let mut messages = Vec::new();
        for piece in pieces {
            frames.push(piece).unwrap();
            messages.extend(std::iter::from_fn(|| frames.message()));
        }
        frames.end();
        messages.extend(std::iter::from_fn(|| frames.message()));
        messages
            .into_iter()
            .map(|message| String::from_utf8(message).unwrap())
            .collect()
    }

    #[test]
    fn each_event_format_is_decoded_wherever_the_bytes_are_split() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data:a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\n\ndata: b\r\n\n", vec!["a", "b"]),
            ("data: a\r\rdata:  b\r\r", vec!["a", " b"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            (
                ": still here\n\nevent: x\nid: 1\nretry: 5\ndata: a\ndata: ü\n\n",
                vec!["a\nü"],
            ),
            (
                "data\n\ndatabase: no\n\ndata: last, without its end",
                vec!["", "last, without its end"],
            ),
            ("event: only a name\n\n", vec![]),
            ("", vec![]),
        ] {
            let bytes = stream.as_bytes();
            for cut in 0..=bytes.len() {
                let (before, after) = bytes.split_at(cut);
                assert_eq!(
                    decode(Framing::Events, &[before, after]),
                    expected,
                    "{stream:?} cut at {cut}"
                );
            }
            let single: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(
                decode(Framing::Events, &single),
                expected,
                "{stream:?} byte by byte"
            );
        }
    }

    #[test]
    fn lines_are_decoded_wherever_the_bytes_are_split() {
        let bytes = b"{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}";
        for cut in 0..=bytes.len() {
            let (before, after) = bytes.split_at(cut);
            let lines: Vec<_> = decode(Framing::Lines, &[before, after]);
            let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
            assert_eq!(
                lines,
                ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_message_without_an_end_is_rejected_at_the_size_limit() {
        let mut frames = Frames::new(Framing::Events);
        let piece = vec![b'x'; MAX_ANSWER_BYTES / 2];
        assert!(frames.push(b"data: ").is_ok() && frames.push(&piece).is_ok());
        assert!(frames.message().is_none());
        assert_eq!(frames.buffered_bytes(), piece.len() + 6);
        assert!(matches!(frames.push(&piece), Err(Error::TooLarge(_))));
    }
}
