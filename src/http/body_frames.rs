//! Bodies of responses: one whose parts pass a function on their way to the connection, and one that is polled within a runtime.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::runtime::Handle;

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

/// Body that is polled within a runtime: tasks, timers and blocking work that it starts belong to that runtime, whichever polls it.
pub struct EnteredBody<B> {
    body: B,
    runtime: Handle,
}

impl<B> EnteredBody<B> {
    pub const fn new(body: B, runtime: Handle) -> Self {
        Self { body, runtime }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for EnteredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let _entered = this.runtime.enter();
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
