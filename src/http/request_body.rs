//! Reading and parsing of a complete request body, limited in size, in time, and in the memory of all requests together.

use std::future::poll_fn;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Buf;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::json_body;
use super::request_memory::no_memory;
use super::state::AppState;
use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker, spawn_if_long};
use crate::turn;
use crate::types::{Code, Error, is_long_to_parse, parsed_size};
use throttle::{CallerId, MemoryLedger, MemoryReservation, MemoryUse, NoMemory};

/// UTF-8's byte order mark, which some programs write first.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Maximum pause within a body; also the head start before [`MIN_BYTES_PER_S`] applies.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// Minimum rate of uploads, and of the reading of responses, in bytes per second. Both limits are the defaults of Apache's mod_reqtimeout
/// (<https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html>, read 2026-11).
pub const MIN_BYTES_PER_S: u32 = 500;
/// Maximum time of a whole body: 10 minutes, in which a body of 20 MB comes at 35 kB/s. At the minimum rate alone it would hold its
/// connection and its memory for 11 hours.
const MAX_TIME: Duration = Duration::from_secs(600);

/// Body in memory, with the memory reserved for it.
#[derive(Debug)]
pub struct CompleteBody {
    pub bytes: Bytes,
    pub memory: BodyMemory,
}

/// Memory reserved for a body until it is dropped.
#[derive(Debug)]
pub struct BodyMemory {
    /// Text of the body, of which `limits.max_queue_bytes` limits all together.
    text: MemoryReservation,
    /// Values parsed from it.
    values: MemoryReservation,
}

/// Returns the piece of long work that parsing a caller's JSON text is; `None` if it is short.
pub fn parsing_piece(json: &[u8], caller: CallerId) -> Option<Piece> {
    let bytes = json.len();
    is_long_to_parse(json).then_some(Piece { caller, bytes })
}

/// Parses the fields of a request that are in its query, as JSON. Many are parsed as a body is; of few, the memory of the values that
/// the request keeps is reserved afterwards.
///
/// # Errors
/// Those of `parse`; `payload_too_large` or `overloaded` if there is no memory for the values.
pub async fn parse_query_fields<T: Send + 'static>(
    ledger: &MemoryLedger,
    caller: CallerId,
    fields: String,
    parse: impl FnOnce(&[u8]) -> Result<T, Error> + Send + 'static,
    kept_bytes: fn(&T) -> usize,
) -> Result<(T, BodyMemory), Error> {
    let mut complete = CompleteBody {
        bytes: fields.into(),
        memory: BodyMemory::empty(ledger, caller),
    };
    if complete.parsing_piece().is_some() {
        let parsed = complete.parse_with(parse, 0, kept_bytes).await?;
        return Ok((parsed, complete.memory));
    }
    let parsed = parse(&complete.bytes)?;
    let mut memory = complete.memory;
    let reserved = memory.values.resize(kept_bytes(&parsed));
    reserved.map_err(|refused| no_memory(&refused))?;
    Ok((parsed, memory))
}

impl BodyMemory {
    fn empty(ledger: &MemoryLedger, caller: CallerId) -> Self {
        Self {
            text: ledger.empty(caller, MemoryUse::RequestBodies),
            values: ledger.empty(caller, MemoryUse::Inputs),
        }
    }
}

impl CompleteBody {
    /// Parses the body. Reserves the memory of its values first, and keeps that of the bytes of values that the request keeps.
    ///
    /// # Errors
    /// Those of [`json_body::parse`]; `payload_too_large` or `overloaded` if there is no memory for the values.
    pub async fn parse<T: DeserializeOwned + Send + 'static>(
        &mut self,
        kept_bytes: fn(&T) -> usize,
    ) -> Result<T, Error> {
        self.parse_with(json_body::parse, 0, kept_bytes).await
    }

    /// Parses the body with a function of its own, as [`CompleteBody::parse`] does. What else the function does with the values is a part
    /// of the same long work; meanwhile it makes `copies` of the body's bytes beside them.
    ///
    /// # Errors
    /// Those of `parse`; `payload_too_large` or `overloaded` if there is no memory for the values.
    pub async fn parse_with<T: Send + 'static>(
        &mut self,
        parse: impl FnOnce(&[u8]) -> Result<T, Error> + Send + 'static,
        copies: usize,
        kept_bytes: fn(&T) -> usize,
    ) -> Result<T, Error> {
        // Moved into the work, which goes on if the client leaves.
        let mut values = self.memory.values.split(usize::MAX);
        let caller = values.caller();
        let (values, parsed) = work_on(self.bytes.clone(), caller, move |bytes| {
            let size = parsed_size(bytes);
            let needed = size.saturating_add(bytes.len().saturating_mul(copies));
            let parsed = reserve_beside(&mut values, bytes.len(), needed)
                .map_err(|refused| no_memory(&refused))
                .and_then(|()| parse(bytes))
                .inspect(|parsed| {
                    values.shrink(kept_bytes(parsed).min(size));
                });
            (values, parsed)
        })
        .await?;
        self.memory.values = values;
        parsed
    }

    /// Reserves the memory of the body's JSON values, for a parser that is not this crate's, and checks the body.
    ///
    /// # Errors
    /// Errors of `check`; `payload_too_large` or `overloaded` if there is no memory for the values.
    pub async fn reserve_values(
        &mut self,
        check: fn(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.parse_with(check, 0, |()| usize::MAX).await
    }

    /// Returns the piece of long work that parsing the body is; `None` if it is short.
    pub fn parsing_piece(&self) -> Option<Piece> {
        parsing_piece(&self.bytes, self.memory.text.caller())
    }

    /// Drops the body's bytes. Returns its memory.
    pub fn into_memory(self) -> BodyMemory {
        self.memory
    }
}

/// Changes a reservation to `bytes`, beside which its request holds others of `beside` bytes.
///
/// # Errors
/// If there is no room; `TooLarge` also if both together can have none at any time.
fn reserve_beside(
    reservation: &mut MemoryReservation,
    beside: usize,
    bytes: usize,
) -> Result<(), NoMemory> {
    reservation.resize(bytes).map_err(|refused| {
        let (bytes, max_bytes) = (beside.saturating_add(bytes), reservation.max_bytes());
        if bytes > max_bytes {
            NoMemory::TooLarge { bytes, max_bytes }
        } else {
            refused
        }
    })
}

/// Does work on a JSON text of a caller, or for one: on this thread if it is short, else as long work.
///
/// # Errors
/// `internal` if long work panics.
pub async fn work_on<T: Send + 'static>(
    bytes: Bytes,
    caller: CallerId,
    work: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, Error> {
    let piece = parsing_piece(&bytes, caller);
    do_work(piece, move || work(&bytes)).await
}

/// Does work on a JSON text of a request or of its answer: on this thread if it is short, else as long work, a `piece`.
///
/// # Errors
/// `internal` if long work panics.
pub async fn do_work<T: Send + 'static>(
    piece: Option<Piece>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_if_long(piece, work).await;
    done.map_err(|error| {
        tracing::error!(%error, "work on a JSON text of a request or of its answer panicked; this is a bug");
        let detail = "a bug in the server prevented reading the request or its answer; search the server's log for the request ID";
        Error::new(Code::Internal, detail)
    })
}

/// Reads a body of at most `server.max_body_bytes`, and reserves its memory on behalf of the caller.
///
/// # Errors
/// `payload_too_large`; `invalid_json` if the upload is interrupted or too slow; `overloaded` if all bodies together take too much
/// memory.
pub async fn read_body(
    state: &AppState,
    caller: CallerId,
    headers: &HeaderMap,
    body: Body,
) -> Result<CompleteBody, Error> {
    let max_bytes = state.max_body_bytes;
    let mut stream = body.into_data_stream();
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let ledger = state.extractor.limits().memory();
    let mut memory = BodyMemory::empty(ledger, caller);
    let mut received = Vec::new();
    if announced.is_some_and(|announced| announced > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let started = Instant::now();
    loop {
        let deadline = started + max_time(received.len());
        let chunk =
            match tokio::time::timeout_at(deadline.min(Instant::now() + MAX_PAUSE), stream.next())
                .await
            {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => {
                    let mut bytes = Bytes::from(received);
                    if bytes.starts_with(BYTE_ORDER_MARK) {
                        bytes.advance(BYTE_ORDER_MARK.len());
                    }
                    return Ok(CompleteBody { bytes, memory });
                }
                Ok(Some(Err(error))) => {
                    return Err(interrupted(received.len(), &innermost_message(&error)));
                }
                Err(_) => return Err(too_slow(received.len())),
            };
        if received.len() + chunk.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        let most = announced.unwrap_or(max_bytes);
        grow(&mut received, chunk.len(), most, &mut memory.text)
            .map_err(|refused| no_memory(&refused))?;
        received.extend_from_slice(&chunk);
        // A client on this machine sends megabytes at a time.
        poll_fn(|cx| turn::poll_take(cx, turn::units_for(chunk.len()))).await;
    }
}

/// Makes room for `more` bytes in a body that will have `most` bytes, and reserves the whole buffer. The buffer doubles, or has no spare
/// room if there is no memory for that.
///
/// # Errors
/// [`NoMemory`] if there is no room for the bytes.
pub fn grow(
    received: &mut Vec<u8>,
    more: usize,
    most: usize,
    memory: &mut MemoryReservation,
) -> Result<(), NoMemory> {
    let needed = received.len() + more;
    if needed <= received.capacity() {
        return Ok(());
    }
    let mut capacity = needed.saturating_mul(2).min(most).max(needed);
    if memory.resize(capacity).is_err() {
        memory.resize(needed)?;
        capacity = needed;
    }
    // It moves the text to another place.
    let is_long = received.len() >= LONG_TEXT_BYTES;
    run_off_worker(is_long, || {
        received.reserve_exact(capacity - received.len());
    });
    Ok(())
}

/// Returns the time in which the next part has to come after this many bytes: what they take at the minimum rate and a pause, and at
/// most that of a whole body.
fn max_time(bytes: usize) -> Duration {
    let at_min_rate = Duration::from_secs(bytes as u64) / MIN_BYTES_PER_S;
    (MAX_PAUSE + at_min_rate).min(MAX_TIME)
}

fn too_slow(bytes: usize) -> Error {
    let why = format!(
        "no data for {} s, less than {MIN_BYTES_PER_S} bytes per second, or more than {} min in all",
        MAX_PAUSE.as_secs(),
        MAX_TIME.as_secs() / 60
    );
    interrupted(
        bytes,
        &format!("{why}; upload faster, or send smaller requests"),
    )
}

/// Returns the message of the innermost source, which is hyper's.
fn innermost_message(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), innermost_message)
}

fn interrupted(bytes: usize, why: &str) -> Error {
    Error::new(
        Code::InvalidJson,
        format!("the upload was interrupted after {bytes} bytes: {why}"),
    )
}

fn too_large(max_bytes: usize) -> Error {
    let detail = format!(
        "the body exceeds {max_bytes} bytes (`server.max_body_bytes`); send inputs as NDJSON, whose length is not limited"
    );
    Error::new(Code::PayloadTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Batch, Single};

    /// Values take many times their text, for as long as the request goes on.
    #[tokio::test]
    async fn what_a_request_keeps_of_its_body_is_held() {
        let caller = CallerId(1);
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let body = |json: String| CompleteBody {
            bytes: json.into(),
            memory: BodyMemory::empty(&ledger, caller),
        };
        let held = || ledger.snapshot().held;
        let zeros = "0,".repeat(10_000);
        let examples = format!(r#"{{"examples": [{{"input": "b", "output": [{zeros}0]}}]}}"#);
        let mut dense = body(examples.clone());
        let kept_bytes = |request: &Single| request.spec.kept_bytes();
        let request = dense.parse(kept_bytes).await.unwrap();
        let memory = dense.into_memory();
        assert!(held() > 10_000 * size_of::<serde_json::Value>());
        drop((request, memory));
        assert_eq!(held(), 0);

        let mut inputs = body(format!(r#"{{"inputs": ["x"{}]}}"#, r#","x""#.repeat(999)));
        let batch = inputs.parse(Batch::kept_bytes).await.unwrap();
        assert_eq!(batch.inputs.map(|inputs| inputs.len()), Some(1_000));
        let _memory = inputs.into_memory();
        assert!((1_000..4_000).contains(&(held() / size_of::<crate::types::Item>())));
    }

    /// A body that can never fit with its copies is too large; one that fits later is not.
    #[tokio::test]
    async fn the_copies_of_a_body_are_held_while_it_is_parsed() {
        const BYTES: usize = 100_000;
        let text = format!("\"{}\"", "x".repeat(BYTES - 2));
        let parse = async |ledger: &MemoryLedger| {
            let mut body = CompleteBody {
                bytes: text.clone().into(),
                memory: BodyMemory::empty(ledger, CallerId(1)),
            };
            body.memory.text.resize(BYTES).unwrap();
            let meanwhile = ledger.clone();
            let held = body.parse_with(move |_| Ok(meanwhile.snapshot().held), 2, |_| usize::MAX);
            let held = held.await;
            held.map(|held| (held, ledger.snapshot().held))
        };
        let (meanwhile, afterwards) = parse(&MemoryLedger::new(1 << 30, 1 << 30)).await.unwrap();
        assert!(meanwhile >= 4 * BYTES, "{meanwhile}");
        assert_eq!(afterwards, meanwhile - 2 * BYTES);

        let small = MemoryLedger::new(meanwhile - 1, 1 << 30);
        let refused = parse(&small).await.unwrap_err();
        assert_eq!(refused.code, Code::PayloadTooLarge);
        let busy = MemoryLedger::new(meanwhile, 1 << 30);
        assert!(parse(&busy).await.is_ok());
        let mut other = busy.empty(CallerId(2), MemoryUse::Responses);
        other.resize(1).unwrap();
        let refused = parse(&busy).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
    }

    /// Few fields wait for nothing, and many are parsed on a thread for long work once there is memory for them.
    #[tokio::test]
    async fn the_fields_of_a_query_are_reserved_and_parsed_off_the_workers_if_they_are_many() {
        let caller = CallerId(1);
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        let held = || ledger.snapshot().held;
        let worker = std::thread::current().id();
        for (zeros, is_long) in [(100, false), (20_000, true)] {
            let values = "0,".repeat(zeros);
            let fields = format!(r#"{{"examples": [{{"input": "b", "output": [{values}0]}}]}}"#);
            let before_parse = ledger.clone();
            let parse = move |bytes: &[u8]| {
                let held = before_parse.snapshot().held;
                assert_eq!(held >= zeros * size_of::<serde_json::Value>(), is_long);
                assert_eq!(std::thread::current().id() != worker, is_long);
                json_body::parse::<Batch>(bytes)
            };
            let parsed =
                parse_query_fields(&ledger, caller, fields.clone(), parse, Batch::kept_bytes);
            let (batch, memory) = parsed.await.unwrap();
            assert_eq!(batch.spec.examples.len(), 1);
            assert!(held() > zeros * size_of::<serde_json::Value>());
            drop((batch, memory));
            assert_eq!(held(), 0);

            let none = MemoryLedger::new(1000, 1000);
            let parse = move |bytes: &[u8]| {
                assert!(!is_long, "there is no memory for the values");
                json_body::parse::<Batch>(bytes)
            };
            let refused = parse_query_fields(&none, caller, fields, parse, Batch::kept_bytes);
            assert_eq!(refused.await.unwrap_err().code, Code::PayloadTooLarge);
        }
    }

    #[tokio::test]
    async fn short_work_is_done_on_this_thread_and_long_work_on_another() {
        let worker = std::thread::current().id();
        let text = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes)));
        let thread_of = |text| work_on(text, CallerId(1), |_| std::thread::current().id());
        assert_eq!(thread_of(text(10)).await.unwrap(), worker);
        assert_ne!(thread_of(text(100_000)).await.unwrap(), worker);
        let panics = |text: &[u8]| assert!(text.is_empty(), "on purpose");
        let panicked = work_on(text(100_000), CallerId(1), panics).await;
        assert_eq!(panicked.unwrap_err().code, Code::Internal);
    }

    #[test]
    fn a_body_may_be_slow_and_ends_within_ten_minutes() {
        assert_eq!(max_time(0), MAX_PAUSE);
        assert_eq!(max_time(5_000), MAX_PAUSE + Duration::from_secs(10));
        assert_eq!(max_time(20_000_000), MAX_TIME);
    }

    #[test]
    fn long_work_on_a_text_counts_for_its_caller() {
        let json = format!("[{}0]", "0,".repeat(5_000));
        let piece = parsing_piece(json.as_bytes(), CallerId(7)).unwrap();
        assert_eq!((piece.caller, piece.bytes), (CallerId(7), json.len()));
        assert!(parsing_piece(b"[0]", CallerId(7)).is_none());
    }
}
