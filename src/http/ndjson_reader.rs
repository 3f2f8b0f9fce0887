//! NDJSON in: a body as a stream of inputs, read as far as they are wanted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::json_body;
use super::stall_watchdog::StallWatchdog;
use crate::types::{Code, Error, Input, Item};

/// How long [`Lines::begin`] waits.
const FIRST: Duration = Duration::from_millis(500);

/// U+FEFF in UTF-8, with which some editors begin a file.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The inputs of an NDJSON body. A line that is none is an input that fails; blank lines are skipped and not counted.
#[derive(Debug)]
pub struct NdjsonReader {
    body: BodyDataStream,
    /// What was read and not yet handed out; at most a line, a byte order mark and a chunk.
    buffer: BytesMut,
    /// How much of `buffer` has no line's end.
    searched: usize,
    /// Within a line that is too long: the rest of it is skipped.
    skipping: bool,
    ended: bool,
    index: usize,
    /// The number of the line that was read last, from 1.
    line: usize,
    max_line_bytes: usize,
    upload: Arc<StallWatchdog>,
}

impl NdjsonReader {
    pub fn new(body: BodyDataStream, max_line_bytes: usize, upload: Arc<StallWatchdog>) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            skipping: false,
            ended: false,
            index: 0,
            line: 0,
            max_line_bytes,
            upload,
        }
    }

    /// Waits a moment for the first of the body. A client that asks whether it may send (`Expect: 100-continue`) is told so
    /// only when the body is read, and before the reply begins.
    pub async fn begin(&mut self) {
        if let Ok(received) = tokio::time::timeout(FIRST, self.body.next()).await {
            self.receive(received);
        }
    }

    /// The bytes that are held.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn receive(&mut self, received: Option<Result<Bytes, axum::Error>>) {
        match received {
            Some(Ok(chunk)) => {
                self.upload.count(chunk.len());
                self.buffer.extend_from_slice(&chunk);
            }
            Some(Err(_)) => {
                self.upload.break_off();
                self.buffer.clear();
                self.ended = true;
            }
            None => {
                self.upload.end();
                self.ended = true;
            }
        }
    }

    /// The next line that is in the buffer, without its end.
    fn next_line(&mut self) -> Option<Bytes> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        match memchr::memchr(b'\n', unsearched) {
            Some(at) => {
                let mut line = self.buffer.split_to(self.searched + at + 1).freeze();
                line.truncate(line.len() - 1);
                self.searched = 0;
                Some(line)
            }
            None if self.ended && !self.buffer.is_empty() => {
                self.searched = 0;
                Some(self.buffer.split().freeze())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// The input of a line; `None` for a blank one, or the rest of one that was too long.
    fn read(&mut self, line: &[u8]) -> Option<Input> {
        self.line += 1;
        if std::mem::take(&mut self.skipping) {
            return None;
        }
        let line = line.get(self.mark_of(line)..).unwrap_or_default();
        if line.len() > self.max_line_bytes {
            return Some(self.too_long());
        }
        if line.trim_ascii().is_empty() {
            return None;
        }
        Some(match json_body::parse::<Item>(line) {
            Ok(item) => Input::new(self.next_index(), item),
            Err(error) => {
                // A line has but one.
                let why = error
                    .detail
                    .trim_start_matches("the body is ")
                    .replace(" at line 1 column ", " at column ");
                let detail = format!("line {} is no input: {why}", self.line);
                Input::unreadable(
                    self.next_index(),
                    Error {
                        code: Code::InvalidJson,
                        detail,
                        ..error
                    },
                )
            }
        })
    }

    /// The length of the byte order mark before the first input.
    fn mark_of(&self, line: &[u8]) -> usize {
        if self.index == 0 && line.starts_with(MARK) {
            MARK.len()
        } else {
            0
        }
    }

    fn too_long(&mut self) -> Input {
        // One that is given up before its end was not counted yet.
        let line = self.line + usize::from(self.skipping);
        let detail = format!(
            "line {line} is longer than {} bytes (`server.max_line_bytes`)",
            self.max_line_bytes
        );
        Input::unreadable(self.next_index(), Error::new(Code::PayloadTooLarge, detail))
    }

    const fn next_index(&mut self) -> usize {
        let index = self.index;
        self.index += 1;
        index
    }

    /// Gives up what is held of a line that is too long.
    fn skip_if_too_long(&mut self) -> Option<Input> {
        if self.buffer.len() - self.mark_of(&self.buffer) <= self.max_line_bytes {
            return None;
        }
        self.buffer.advance(self.buffer.len());
        self.searched = 0;
        let first = !std::mem::replace(&mut self.skipping, true);
        first.then(|| self.too_long())
    }
}

impl Stream for NdjsonReader {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            while let Some(line) = this.next_line() {
                if let Some(input) = this.read(&line) {
                    return Poll::Ready(Some(input));
                }
            }
            if let Some(input) = this.skip_if_too_long() {
                return Poll::Ready(Some(input));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let received = std::task::ready!(this.body.poll_next_unpin(cx));
            this.receive(received);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: Vec<Vec<u8>>, max_line_bytes: usize) -> Vec<(usize, Result<String, Code>)> {
        let body = Body::from_stream(futures_util::stream::iter(
            chunks.into_iter().map(Ok::<_, std::io::Error>),
        ));
        let lines = NdjsonReader::new(body.into_data_stream(), max_line_bytes, Arc::default());
        let inputs = futures_util::FutureExt::now_or_never(lines.collect::<Vec<_>>()).unwrap();
        inputs
            .into_iter()
            .map(|input| (input.index, input.content.map_err(|error| error.code)))
            .collect()
    }

    #[test]
    fn lines_become_inputs_and_bad_ones_fail_alone() {
        let body = b"\xef\xbb\xbf\"a\"\r\n\n  \n{\"input\": \"b\"}\n{oops\n3\n\"0123456789012345678901234567890\"\n\"c\"";
        let ok = |text: &str| Ok(text.to_owned());
        let expected = [
            (0, ok("a")),
            (1, ok("b")),
            (2, Err(Code::InvalidJson)),
            (3, Err(Code::InvalidJson)),
            (4, Err(Code::PayloadTooLarge)),
            (5, ok("c")),
        ];
        assert_eq!(read(vec![body.to_vec()], 20), expected);
    }

    proptest! {
        /// However the network cuts the body up.
        #[test]
        fn chunks_do_not_matter(lines in prop::collection::vec("[ -~]{0,40}", 0..20), cuts in prop::collection::vec(1_usize..30, 1..50)) {
            let body = lines.join("\n").into_bytes();
            let whole = read(vec![body.clone()], 24);
            let (mut rest, mut chunks) = (body.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, more) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = more;
            }
            prop_assert_eq!(read(chunks, 24), whole);
        }
    }
}
