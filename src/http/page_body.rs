//! Body of a page whose memory is reserved until it is sent: a slow reader holds it against its own share.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::request_memory::no_memory;
use super::state::AppState;
use crate::types::Error;
use throttle::{CallerId, MemoryReservation, MemoryUse};

/// Size of the parts in which a page is handed to the connection, which holds a few of them.
const PART_BYTES: usize = 64 * 1024;

/// Returns the response of a page of JSON, whose memory is reserved until it is sent.
///
/// # Errors
/// `overloaded` if there is no memory for it.
pub fn json_page(state: &AppState, caller: CallerId, page: Bytes) -> Result<Response, Error> {
    let ledger = state.extractor.limits().memory();
    let memory = ledger
        .reserve(caller, MemoryUse::Responses, page.len())
        .map_err(|refused| no_memory(&refused))?;
    let body = PageBody { rest: page, memory };
    let content_type = [(CONTENT_TYPE, "application/json")];
    Ok((content_type, Body::new(body)).into_response())
}

#[derive(Debug)]
struct PageBody {
    rest: Bytes,
    memory: MemoryReservation,
}

impl http_body::Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PART_BYTES);
        let part = self.rest.split_to(length);
        let rest = self.rest.len();
        // A smaller reservation always succeeds.
        let _never_fails = self.memory.resize(rest);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use throttle::MemoryLedger;

    use super::*;

    #[tokio::test]
    async fn memory_is_returned_as_the_page_is_sent() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let page = Bytes::from(vec![b'x'; 200_000]);
        let memory = ledger.reserve(CallerId(1), MemoryUse::Responses, page.len());
        let mut body = PageBody {
            rest: page,
            memory: memory.unwrap(),
        };
        let (mut sent, mut held) = (0, 200_000);
        while let Some(frame) = body.frame().await {
            sent += frame.unwrap().into_data().unwrap().len();
            let now = ledger.snapshot().held;
            assert!(now < held, "{now}");
            held = now;
        }
        assert_eq!((sent, held), (200_000, 0));
    }
}
