//! Memory of responses until they are sent: a slow reader holds it against its own share.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;

use super::body_frames::{MappedBody, NextFrame};
use super::request_memory::no_response_memory;
use super::state::AppState;
use crate::extraction::WaitingMemory;
use crate::jobs::store::MAX_PAGE_BYTES;
use crate::types::{Error, Outcome};
use throttle::{CallerId, MemoryLedger, MemoryReservation, MemoryUse, NoMemory};

/// Maximum size of a request's head, in bytes: 96 KiB. A URL may have 64 KiB. A connection takes more of a response until this much of it
/// waits to be sent.
pub const MAX_CONNECTION_BUFFER: usize = 96 * 1024;

/// Size up to which a part of a stream, or a page of its records, is usual, in bytes. The memory of a stream has room for one.
const USUAL_BYTES: usize = 64 * 1024;

/// Size up to which a complete response is not counted, in bytes: it is one of the buffers that a connection begins with.
const SMALL_BYTES: usize = 8 * 1024;

/// Memory of a streamed response, in bytes: what its connection keeps, a part more, and the page of records from which it is written.
const STREAM_BYTES: usize = 256 * 1024;

/// Memory to make a page of jobs or results, in bytes: the records, and a buffer of JSON that doubles. A page with a large record takes
/// more.
const PAGE_BYTES: usize = 3 * MAX_PAGE_BYTES;

/// Time for which a request for a page waits for memory.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Memory of a streamed response. Each of its parts holds it until the connection has sent it.
#[derive(Debug, Clone)]
pub struct StreamMemory {
    held: Arc<MemoryReservation>,
}

impl StreamMemory {
    /// Reserves the memory of a stream against the share of `caller`, before its request is admitted: of the job's caller if the request
    /// has a signed link.
    ///
    /// # Errors
    /// `overloaded` if there is no memory for it.
    pub fn reserve(state: &AppState, caller: CallerId) -> Result<Self, Error> {
        let ledger = state.extractor.limits().memory();
        let memory = ledger.reserve(caller, MemoryUse::Responses, STREAM_BYTES);
        memory
            .map(|memory| Self {
                held: Arc::new(memory),
            })
            .map_err(|refused| no_response_memory(&refused))
    }

    /// Gives the memory to the response.
    pub fn hold(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// Memory of a complete response that was reserved before it was made.
#[derive(Debug, Clone)]
pub struct ReservedMemory(Arc<MemoryReservation>);

impl ReservedMemory {
    /// Takes the memory of the response to an outcome; `None` for one that is paid for, whose memory is recorded.
    pub fn take(outcome: &mut Outcome) -> Option<Self> {
        outcome
            .take_reservation()
            .map(|reserved| Self(Arc::new(reserved)))
    }

    /// Gives the memory to the response.
    pub fn hold(memory: Option<Self>, mut response: Response) -> Response {
        if let Some(memory) = memory {
            response.extensions_mut().insert(memory);
        }
        response
    }

    /// Returns the reservation with the bytes of the response that was made.
    fn resized(self, bytes: usize) -> Option<MemoryReservation> {
        let mut reserved = Arc::into_inner(self.0)?;
        reserved.record(bytes);
        Some(reserved)
    }
}

/// Reserves the memory to make a page of jobs or results, to be held until it is made. Waits for it, and for more, for up to two seconds.
///
/// # Errors
/// `overloaded` if there is no memory for it.
pub async fn reserve_page(state: &AppState, caller: CallerId) -> Result<WaitingMemory, Error> {
    let mut memory = waiting_memory(state, caller, PAGE_TIMEOUT);
    match memory.reserve(PAGE_BYTES).await {
        Ok(()) => Ok(memory),
        Err(refused) => Err(no_response_memory(&refused)),
    }
}

/// Returns an empty memory of a response of `caller`, for which it waits up to `max_wait`.
pub fn waiting_memory(state: &AppState, caller: CallerId, max_wait: Duration) -> WaitingMemory {
    let ledger = state.extractor.limits().memory();
    WaitingMemory::new(ledger.empty(caller, MemoryUse::Responses), max_wait)
}

/// Returns the memory that a page of records needs beside [`StreamMemory`] or the connection's, in bytes: none, unless a record is large;
/// then it is for the records, and for the part of the response that is made of them.
pub const fn page_room(page_bytes: usize) -> usize {
    page_bytes.saturating_sub(USUAL_BYTES).saturating_mul(2)
}

/// Changes the memory of what is to be sent.
///
/// # Errors
/// [`NoMemory`] if there is no room now. What can never have room is not refused, or it could not be read at all.
pub fn resize_if_possible(memory: &mut MemoryReservation, bytes: usize) -> Result<(), NoMemory> {
    match memory.resize(bytes) {
        Err(NoMemory::TooLarge { .. }) => Ok(()),
        resized => resized,
    }
}

/// Counts the parts of a response until the connection has sent them: the large parts, and those of a stream that holds
/// [`StreamMemory`]. They are counted against the share of `caller`; those of a stream against the share that its memory is of.
///
/// # Errors
/// [`NoMemory`] if there is no room now for a complete response that may be refused. Others are counted even so: what they are made of
/// was reserved until now.
pub fn count(
    ledger: &MemoryLedger,
    caller: CallerId,
    may_be_refused: bool,
    mut response: Response,
) -> Result<Response, NoMemory> {
    let stream = response.extensions_mut().remove::<StreamMemory>();
    let made = response.extensions_mut().remove::<ReservedMemory>();
    let size = http_body::Body::size_hint(response.body());
    let length = size
        .exact()
        .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let uncounted_bytes = match (&stream, length) {
        (None, Some(_)) => SMALL_BYTES,
        _ => USUAL_BYTES,
    };
    let is_small = |upper| upper <= uncounted_bytes as u64;
    if stream.is_none() && size.upper().is_some_and(is_small) {
        return Ok(response);
    }
    let caller = stream
        .as_ref()
        .map_or(caller, |stream| stream.held.caller());
    let made = made
        .zip(length)
        .and_then(|(memory, length)| memory.resized(length));
    let mut reserved = made.unwrap_or_else(|| ledger.empty(caller, MemoryUse::Responses));
    if let Some(length) = length.filter(|_| may_be_refused) {
        resize_if_possible(&mut reserved, length)?;
    }
    let mut memory = PartMemory {
        ledger: ledger.clone(),
        stream,
        reserved,
        uncounted_bytes,
    };
    let count = move |frame: NextFrame| {
        frame.map(|frame| frame.map(|frame| frame.map_data(|part| memory.count(part))))
    };
    Ok(response.map(|body| Body::new(MappedBody::new(body, count))))
}

/// Memory of the parts of a response.
struct PartMemory {
    ledger: MemoryLedger,
    stream: Option<StreamMemory>,
    /// Memory of the parts that follow, as far as it is reserved.
    reserved: MemoryReservation,
    /// Size up to which a part is not counted, in bytes.
    uncounted_bytes: usize,
}

impl PartMemory {
    /// Returns the part with its memory, if it is counted.
    fn count(&mut self, part: Bytes) -> Bytes {
        let memory = (part.len() > self.uncounted_bytes).then(|| self.take(part.len()));
        if memory.is_none() && self.stream.is_none() {
            return part;
        }
        Bytes::from_owner(CountedPart {
            part,
            _memory: memory,
            _stream: self.stream.clone(),
        })
    }

    /// Takes the memory of a part of this size.
    fn take(&mut self, bytes: usize) -> MemoryReservation {
        let memory = self.reserved.split(bytes);
        if memory.bytes() == bytes {
            return memory;
        }
        self.ledger
            .record(memory.caller(), MemoryUse::Responses, bytes)
    }
}

/// Part of a response, with its memory.
struct CountedPart {
    part: Bytes,
    _memory: Option<MemoryReservation>,
    _stream: Option<StreamMemory>,
}

impl AsRef<[u8]> for CountedPart {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;
    use crate::jobs::store::PageSize;

    const CALLER: CallerId = CallerId(1);

    fn large() -> Response {
        vec![b'x'; 200_000].into_response()
    }

    fn streamed(parts: impl IntoIterator<Item = usize, IntoIter: Send + 'static>) -> Response {
        let parts = parts
            .into_iter()
            .map(|size| Ok::<_, axum::Error>(vec![b'x'; size]));
        Body::from_stream(futures_util::stream::iter(parts)).into_response()
    }

    fn with_memory(ledger: &MemoryLedger, caller: CallerId, response: Response) -> Response {
        let memory = ledger.reserve(caller, MemoryUse::Responses, STREAM_BYTES);
        let memory = StreamMemory {
            held: Arc::new(memory.unwrap()),
        };
        memory.hold(response)
    }

    #[tokio::test]
    async fn a_large_part_is_counted_until_it_is_sent() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let response = count(&ledger, CALLER, false, large()).unwrap();
        assert_eq!(ledger.snapshot().held, 0);
        let mut body = response.into_body();
        let mut part = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!((part.len(), ledger.snapshot().held), (200_000, 200_000));
        // The connection sends a part in pieces, and its buffer is one block of memory.
        drop(part.split_to(150_000));
        assert_eq!(ledger.snapshot().held, 200_000);
        drop(part);
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[tokio::test]
    async fn a_complete_response_is_counted_unless_it_is_small() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        for (size, held) in [(SMALL_BYTES, 0), (SMALL_BYTES + 1, SMALL_BYTES + 1)] {
            let response = vec![b'x'; size].into_response();
            let response = count(&ledger, CALLER, true, response).unwrap();
            let _part = response.into_body().frame().await;
            assert_eq!(ledger.snapshot().held, held);
        }
    }

    #[tokio::test]
    async fn a_large_response_that_may_be_refused_is_counted_before_it_is_sent() {
        let ledger = MemoryLedger::new(500_000, 500_000);
        let respond = |may_be_refused| count(&ledger, CALLER, may_be_refused, large());
        let read = [respond(true).unwrap(), respond(true).unwrap()];
        assert_eq!(respond(true).unwrap_err(), NoMemory::Full);
        let _anyway = respond(false).unwrap();
        for response in read {
            let before = ledger.snapshot().held;
            let part = response.into_body().frame().await;
            assert_eq!(ledger.snapshot().held, before);
            drop(part);
            assert_eq!(ledger.snapshot().held, before - 200_000);
        }
        let never_fits = MemoryLedger::new(100_000, 100_000);
        let response = count(&never_fits, CALLER, true, large()).unwrap();
        let _part = response.into_body().frame().await;
        assert_eq!(never_fits.snapshot().held, 200_000);
    }

    #[tokio::test]
    async fn a_response_keeps_the_memory_that_was_reserved_for_it() {
        let ledger = MemoryLedger::new(300_000, 300_000);
        let reserved = ledger.reserve(CALLER, MemoryUse::Responses, 290_000);
        let memory = ReservedMemory(Arc::new(reserved.unwrap()));
        let response = ReservedMemory::hold(Some(memory), large());
        let response = count(&ledger, CALLER, false, response).unwrap();
        assert_eq!(ledger.snapshot().held, 200_000);
        let mut body = response.into_body();
        let part = body.frame().await;
        assert_eq!(ledger.snapshot().held, 200_000);
        drop((part, body));
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[tokio::test]
    async fn parts_of_a_stream_are_counted_if_they_are_large() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let response = streamed([10, 70_000, USUAL_BYTES]);
        let mut body = count(&ledger, CALLER, true, response).unwrap().into_body();
        let (mut sent, mut held) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            sent.push(frame.unwrap().into_data().unwrap());
            held.push(ledger.snapshot().held);
        }
        assert_eq!(held, [0, 70_000, 70_000]);
    }

    /// The connection drops the body with its last part, which it may keep for long.
    #[tokio::test]
    async fn the_parts_of_a_stream_hold_its_memory() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let response = with_memory(&ledger, CALLER, streamed([10, 20]));
        let mut body = count(&ledger, CALLER, true, response).unwrap().into_body();
        let first = body.frame().await;
        let last = body.frame().await;
        drop((body, first));
        assert_eq!(ledger.snapshot().held, STREAM_BYTES);
        drop(last);
        assert_eq!(ledger.snapshot().held, 0);
    }

    /// A reader with a signed link uses the share of the job's caller.
    #[tokio::test]
    async fn the_parts_of_a_stream_are_counted_for_the_caller_of_its_memory() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let response = with_memory(&ledger, CallerId(2), streamed([70_000]));
        let mut body = count(&ledger, CALLER, true, response).unwrap().into_body();
        let _part = body.frame().await;
        let held = ledger.snapshot().by_caller;
        assert_eq!(held, [(CallerId(2), STREAM_BYTES + 70_000)].into());
    }

    #[test]
    fn a_stream_makes_room_for_a_large_record() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let mut memory = ledger.empty(CALLER, MemoryUse::Responses);
        let usual = PageSize::STREAM.bytes + 2_000;
        for (page_bytes, held) in [(10, 0), (usual, 0), (USUAL_BYTES + 100, 200), (0, 0)] {
            resize_if_possible(&mut memory, page_room(page_bytes)).unwrap();
            assert_eq!(ledger.snapshot().held, held, "{page_bytes}");
        }
        let _other = ledger.reserve(CALLER, MemoryUse::Inputs, 1_000_000);
        let refused = resize_if_possible(&mut memory, page_room(100_000));
        assert_eq!(refused, Err(NoMemory::Full));
        resize_if_possible(&mut memory, page_room(1 << 20)).unwrap();
    }
}
