//! NDJSON request body as a stream of inputs, read with backpressure: only as fast as inputs are consumed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::BodyDataStream;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::IgnoredAny;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::json_body;
use super::request_body::{BYTE_ORDER_MARK, parsing_piece};
use super::upload_monitor::{Interruption, UploadMonitor};
use crate::extraction::WaitingMemory;
use crate::long_work::{LONG_TEXT_BYTES, append_off_worker, run_off_worker, spawn_long};
use crate::turn;
use crate::types::{Code, Error, Input, Item};

/// Number of blank lines that are skipped for a unit of the turn: those of a turn take less than a millisecond.
const BLANK_LINES_PER_UNIT: u32 = 64;
/// Maximum wait of [`NdjsonReader::read_first_chunk`].
const FIRST_CHUNK_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum capacity of an empty buffer that is kept for the next lines, in bytes.
const MAX_SPARE_BYTES: usize = 64 * 1024;

/// Stream of the inputs of an NDJSON body. An invalid line becomes an input that fails; blank lines are skipped and not counted.
#[derive(Debug)]
pub struct NdjsonReader {
    body: BodyDataStream,
    /// Bytes received and not yet parsed; at most a line, a byte order mark and a chunk.
    buffer: BytesMut,
    /// Length of the start of `buffer` that has no line break.
    searched: usize,
    /// Units of the turn for what was received last.
    owed_units: u32,
    /// True within a line that is too long, whose rest is skipped.
    skipping: bool,
    ended: bool,
    index: usize,
    /// One-based number of the last line parsed.
    line: usize,
    max_line_bytes: usize,
    upload: Arc<UploadMonitor>,
    /// Memory of `buffer`, of which each input takes its part with it.
    memory: WaitingMemory,
    /// Long line, and the task that parses it.
    parsing: Option<(Bytes, JoinSet<Result<Item, Error>>)>,
    /// Timer of the current wait for the client; `None` while there is something to read.
    idle_timer: Option<Pin<Box<Sleep>>>,
}

impl NdjsonReader {
    /// Creates a reader of lines up to `max_line_bytes`, in memory that it reserves. `upload` is informed of each chunk and of the end.
    pub fn new(
        body: BodyDataStream,
        max_line_bytes: usize,
        upload: Arc<UploadMonitor>,
        memory: WaitingMemory,
    ) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            owed_units: 0,
            skipping: false,
            ended: false,
            index: 0,
            line: 0,
            max_line_bytes,
            upload,
            memory,
            parsing: None,
            idle_timer: None,
        }
    }

    /// Waits up to 500 ms for the first chunk. A client that sent `Expect: 100-continue` gets its `100 Continue` only when the
    /// body is polled, and that must happen before the response begins.
    pub async fn read_first_chunk(&mut self) {
        if let Ok(received) = tokio::time::timeout(FIRST_CHUNK_TIMEOUT, self.body.next()).await {
            self.receive(received);
        }
    }

    /// Returns the number of buffered bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn receive(&mut self, received: Option<Result<Bytes, axum::Error>>) {
        match received {
            Some(Ok(chunk)) => {
                self.upload.count(chunk.len());
                self.owed_units = turn::units_for(chunk.len());
                let (length, capacity) = (self.buffer.len(), self.buffer.capacity());
                append_off_worker(length, capacity, chunk.len(), || {
                    self.buffer.extend_from_slice(&chunk);
                });
            }
            Some(Err(_)) => {
                self.interrupt(Interruption::Disconnected);
            }
            None => {
                self.upload.end();
                self.ended = true;
            }
        }
    }

    /// Drops the room of a long line once its buffer is empty.
    fn drop_spare_room(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > MAX_SPARE_BYTES {
            self.buffer = BytesMut::new();
        }
    }

    /// Interrupts the upload if the client is idle; else waits until it may be.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.upload.idle_timeout();
        if self.upload.is_idle(Instant::now()) {
            self.interrupt(Interruption::Idle(timeout));
            return Poll::Ready(());
        }
        let timer = self
            .idle_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        std::task::ready!(timer.as_mut().poll(cx));
        // The idle time may have been restarted meanwhile.
        self.idle_timer = None;
        Poll::Ready(())
    }

    fn interrupt(&mut self, interruption: Interruption) {
        self.upload.interrupt(interruption);
        self.buffer = BytesMut::new();
        self.ended = true;
    }

    /// Returns the next complete line in the buffer, without its line break.
    fn next_line(&mut self) -> Option<Bytes> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        match memchr::memchr(b'\n', unsearched) {
            Some(position) => {
                let mut line = self.buffer.split_to(self.searched + position + 1).freeze();
                line.truncate(line.len() - 1);
                self.searched = 0;
                if line.len() > MAX_SPARE_BYTES {
                    // In a block of its own, so that the block of a long line lives no longer than the line.
                    self.buffer = BytesMut::from(self.buffer.as_ref());
                }
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

    /// Returns the input of a line, or `None`, if it is a blank line or the rest of a line that was too long; pending while a long line is
    /// parsed, which [`Self::poll_parsed`] ends.
    fn poll_line(&mut self, mut line: Bytes, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        self.line += 1;
        if std::mem::take(&mut self.skipping) {
            return Poll::Ready(None);
        }
        line.advance(self.byte_order_mark_len(&line));
        if line.len() > self.max_line_bytes {
            return Poll::Ready(Some(self.too_long()));
        }
        if line.trim_ascii().is_empty() {
            return Poll::Ready(None);
        }
        let Some(piece) = parsing_piece(&line, self.memory.caller()) else {
            let parsed = json_body::parse(&line);
            return Poll::Ready(Some(self.input(&line, parsed)));
        };
        let text = line.clone();
        // In a task: the stream may not be polled for long, and would keep a permit from the others.
        let mut parsing = JoinSet::new();
        parsing.spawn(async move {
            let parsed = spawn_long(piece, move || json_body::parse(&text)).await;
            parsed.unwrap_or_else(|_| {
                let detail = "a bug in the server prevented reading the line";
                Err(Error::new(Code::Internal, detail))
            })
        });
        self.parsing = Some((line, parsing));
        self.poll_parsed(cx)
    }

    /// Returns the input of the long line that is parsed; `None` if there is no such line.
    fn poll_parsed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let Some((_, parsing)) = &mut self.parsing else {
            return Poll::Ready(None);
        };
        let parsed = std::task::ready!(parsing.poll_join_next(cx));
        // The task is not aborted, and does not panic.
        let taken = self.parsing.take().zip(parsed.and_then(Result::ok));
        Poll::Ready(taken.map(|((line, _), parsed)| self.input(&line, parsed)))
    }

    /// Returns the input of a parsed line.
    fn input(&mut self, line: &[u8], parsed: Result<Item, Error>) -> Input {
        match parsed {
            Ok(item) => {
                let memory = self.memory.split(line.len());
                self.memory.shrink(self.buffer.capacity());
                Input {
                    memory: Some(memory),
                    ..Input::new(self.next_index(), item)
                }
            }
            Err(error) => {
                let is_long = line.len() >= LONG_TEXT_BYTES;
                let detail = if run_off_worker(is_long, || has_several_values(line)) {
                    format!(
                        "line {} has more than one JSON value, and each input needs a line of its own; with curl, send the file by --data-binary, because -d removes the line breaks",
                        self.line
                    )
                } else {
                    // The position within the body is replaced by the number of the line.
                    let reason = error
                        .detail
                        .trim_start_matches("the body is ")
                        .replace(" at line 1 column ", " at column ");
                    let reason = reason
                        .split("; to send one input")
                        .next()
                        .unwrap_or_default();
                    format!("line {} is not a valid input: {reason}", self.line)
                };
                Input::unreadable(
                    self.next_index(),
                    Error {
                        code: Code::InvalidJson,
                        detail: detail.into(),
                        ..error
                    },
                )
            }
        }
    }

    /// Returns the length of the byte order mark before the first input; 0 if there is none.
    fn byte_order_mark_len(&self, line: &[u8]) -> usize {
        if self.index == 0 && line.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        }
    }

    fn too_long(&mut self) -> Input {
        // A line that is skipped before its end is not counted yet.
        let line = self.line + usize::from(self.skipping);
        let detail = format!(
            "line {line} exceeds {} bytes (`server.max_line_bytes`); shorten the input, or raise the limit",
            self.max_line_bytes
        );
        Input::unreadable(self.next_index(), Error::new(Code::PayloadTooLarge, detail))
    }

    const fn next_index(&mut self) -> usize {
        let index = self.index;
        self.index += 1;
        index
    }

    /// Discards the buffer if it is the start of a line that is too long. Returns an input that fails, once per line.
    fn skip_if_too_long(&mut self) -> Option<Input> {
        if self.buffer.len() - self.byte_order_mark_len(&self.buffer) <= self.max_line_bytes {
            return None;
        }
        self.buffer = BytesMut::new();
        self.searched = 0;
        let first = !std::mem::replace(&mut self.skipping, true);
        first.then(|| self.too_long())
    }
}

/// Returns true if a line begins with a JSON value, and the beginning of another one follows.
fn has_several_values(line: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    let is_first_complete = values.next().is_some_and(|first| first.is_ok());
    let rest = line.get(values.byte_offset()..).unwrap_or_default();
    is_first_complete && matches!(rest.trim_ascii_start().first(), Some(b'{' | b'"' | b'['))
}

impl Stream for NdjsonReader {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            if let Some(input) = std::task::ready!(this.poll_parsed(cx)) {
                return Poll::Ready(Some(input));
            }
            let mut blank = 0_u32;
            while let Some(line) = this.next_line() {
                if let Some(input) = std::task::ready!(this.poll_line(line, cx)) {
                    return Poll::Ready(Some(input));
                }
                blank += 1;
                if blank.is_multiple_of(BLANK_LINES_PER_UNIT) {
                    std::task::ready!(turn::poll_take(cx, 1));
                }
            }
            if let Some(input) = this.skip_if_too_long() {
                return Poll::Ready(Some(input));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            this.drop_spare_room();
            // As it is allocated: a buffer that grows doubles.
            let reserved = (this.memory).poll_reserve_inputs(cx, this.buffer.capacity());
            if std::task::ready!(reserved).is_err() {
                this.interrupt(Interruption::NoMemory);
                continue;
            }
            let owed = std::mem::take(&mut this.owed_units);
            std::task::ready!(turn::poll_take(cx, owed));
            match this.body.poll_next_unpin(cx) {
                Poll::Ready(received) => {
                    this.idle_timer = None;
                    this.receive(received);
                }
                Poll::Pending => std::task::ready!(this.poll_idle(cx)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[Vec<u8>], max_line_bytes: usize) -> Vec<(usize, Result<String, Code>)> {
        let lines = super::super::readers::lines(chunks, max_line_bytes);
        let inputs = futures_util::FutureExt::now_or_never(lines.collect::<Vec<_>>()).unwrap();
        inputs
            .into_iter()
            .map(|input| (input.index, input.content.map_err(|error| error.code)))
            .collect()
    }

    #[tokio::test]
    async fn the_buffer_counts_as_it_is_allocated() {
        use throttle::{CallerId, MemoryLedger, MemoryUse};
        let line = format!("\"{}\"\n\"y", "x".repeat(500_000));
        let chunks: Vec<_> = line
            .as_bytes()
            .chunks(70_000)
            .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
            .collect();
        let chunks = futures_util::stream::iter(chunks).chain(futures_util::stream::pending());
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let memory = ledger.empty(CallerId::default(), MemoryUse::Inputs);
        let mut reader = NdjsonReader::new(
            axum::body::Body::from_stream(chunks).into_data_stream(),
            1 << 20,
            Arc::new(UploadMonitor::new(Duration::MAX)),
            WaitingMemory::new(memory, Duration::MAX),
        );
        let mut held = 0;
        let input = std::future::poll_fn(|cx| {
            let polled = reader.poll_next_unpin(cx);
            held = ledger.snapshot().held;
            polled
        });
        let input = input.await.unwrap();
        // The block of the line is gone: what is held is the input, and the beginning of the next line.
        let capacity = reader.buffer.capacity();
        assert!(capacity < 1000, "{capacity}");
        assert!((500_000..501_000).contains(&held), "{held}");
        assert_eq!(ledger.snapshot().held, 500_002 + capacity);
        // The next line is not complete.
        assert!(futures_util::FutureExt::now_or_never(reader.next()).is_none());
        drop(input);
        assert_eq!(ledger.snapshot().held, reader.buffer.capacity());
    }

    #[test]
    fn invalid_lines_fail_without_affecting_others() {
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
        assert_eq!(read(&[body.to_vec()], 20), expected);
    }

    proptest! {
        #[test]
        fn inputs_do_not_depend_on_chunk_boundaries(lines in prop::collection::vec("[ -~]{0,40}", 0..20), cuts in prop::collection::vec(1_usize..30, 1..50)) {
            let body = lines.join("\n").into_bytes();
            let unsplit = read(std::slice::from_ref(&body), 24);
            let (mut rest, mut chunks) = (body.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, more) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = more;
            }
            prop_assert_eq!(read(&chunks, 24), unsplit);
        }
    }
}
