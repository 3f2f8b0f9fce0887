//! Memory of responses until they are sent: a slow reader holds it against its own share.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::request_memory::no_memory;
use super::state::AppState;
use crate::jobs::store::MAX_PAGE_BYTES;
use crate::types::Error;
use throttle::{CallerId, MemoryLedger, MemoryReservation, MemoryUse};

/// Maximum size of the request's head, and of a response that a connection keeps to be sent, in bytes: 96 KiB. A URL may have 64 KiB.
pub const MAX_CONNECTION_BUFFER: usize = 96 * 1024;

/// Memory of a streamed response, in bytes: what its connection keeps, a part that is being written, and the page of which it is
/// written.
const STREAM_BYTES: usize = 256 * 1024;

/// Memory to make a page of jobs or results, in bytes: the records, and a buffer of JSON that doubles.
const PAGE_BYTES: usize = 3 * MAX_PAGE_BYTES;

/// Size of a part of a response up to which it is not counted, in bytes: it is one of the buffers of the connection.
const MAX_UNCOUNTED_BYTES: usize = 64 * 1024;

/// Reserves the memory of a streamed response, to be held until the stream ends.
///
/// # Errors
/// `overloaded` if there is no memory for it.
pub fn reserve_stream(state: &AppState, caller: CallerId) -> Result<MemoryReservation, Error> {
    reserve(state, caller, STREAM_BYTES)
}

/// Reserves the memory to make a page of jobs or results, to be held until it is made.
///
/// # Errors
/// `overloaded` if there is no memory for it.
pub fn reserve_page(state: &AppState, caller: CallerId) -> Result<MemoryReservation, Error> {
    reserve(state, caller, PAGE_BYTES)
}

fn reserve(state: &AppState, caller: CallerId, bytes: usize) -> Result<MemoryReservation, Error> {
    let ledger = state.extractor.limits().memory();
    ledger
        .reserve(caller, MemoryUse::Responses, bytes)
        .map_err(|refused| no_memory(&refused))
}

/// Counts each large part of a response on behalf of the caller, until the connection has sent it.
pub fn count(ledger: &MemoryLedger, caller: CallerId, response: Response) -> Response {
    let upper = http_body::Body::size_hint(response.body()).upper();
    if upper.is_some_and(|upper| upper <= MAX_UNCOUNTED_BYTES as u64) {
        return response;
    }
    let ledger = ledger.clone();
    response.map(|body| {
        Body::new(CountedBody {
            body,
            ledger,
            caller,
        })
    })
}

/// Body whose large parts are counted.
struct CountedBody {
    body: Body,
    ledger: MemoryLedger,
    caller: CallerId,
}

impl CountedBody {
    fn counted(&self, part: Bytes) -> Bytes {
        if part.len() <= MAX_UNCOUNTED_BYTES {
            return part;
        }
        // What it was made of was reserved, and is returned now: so it is not refused.
        let memory = self
            .ledger
            .record(self.caller, MemoryUse::Responses, part.len());
        Bytes::from_owner(CountedPart {
            part,
            _memory: memory,
        })
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|part| self.counted(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Part of a response, with its memory.
struct CountedPart {
    part: Bytes,
    _memory: MemoryReservation,
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

    #[tokio::test]
    async fn a_large_part_is_counted_until_it_is_sent() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let large = count(&ledger, CallerId(1), vec![b'x'; 200_000].into_response());
        assert_eq!(ledger.snapshot().held, 0);
        let mut body = large.into_body();
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
    async fn parts_of_a_stream_are_counted_if_they_are_large() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let parts = [10, 70_000, 64 * 1024].map(|size| Ok::<_, axum::Error>(vec![b'x'; size]));
        let body = Body::from_stream(futures_util::stream::iter(parts));
        let mut body = count(&ledger, CallerId(1), body.into_response()).into_body();
        let (mut sent, mut held) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            sent.push(frame.unwrap().into_data().unwrap());
            held.push(ledger.snapshot().held);
        }
        assert_eq!(held, [0, 70_000, 70_000]);
    }
}
