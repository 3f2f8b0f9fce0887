//! Body of a response whose parts pass a function on their way to the connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};

/// A body's next frame, or its end.
pub type NextFrame = Option<Result<Frame<Bytes>, axum::Error>>;

/// Body whose frames, and whose end, pass a function. What the function holds lives until the connection drops the body. The length stays
/// as it was, so the function must not change that of a frame.
pub struct MappedBody<F> {
    body: Body,
    map: F,
}

impl<F: FnMut(NextFrame) -> NextFrame> MappedBody<F> {
    pub const fn new(body: Body, map: F) -> Self {
        Self { body, map }
    }
}

impl<F: FnMut(NextFrame) -> NextFrame + Unpin> http_body::Body for MappedBody<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready((self.map)(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
