//! Body of a response that is made on other workers than those of its connection, one frame at a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::super::body_frames::NextFrame;

/// Answer to a request for a frame.
type FrameSender = oneshot::Sender<NextFrame>;

/// Body whose frames a task makes. Each is made when the connection asks for it, so none waits between the two. The task is aborted
/// when the body is dropped.
pub struct StreamedBody {
    requests: mpsc::Sender<FrameSender>,
    /// Frame that is being made.
    next: Option<oneshot::Receiver<NextFrame>>,
    _task: AbortOnDropHandle<()>,
}

/// Requests for the frames of a body.
pub type FrameRequests = mpsc::Receiver<FrameSender>;

/// Sender of the requests for the frames of a body.
pub type FrameRequester = mpsc::Sender<FrameSender>;

/// Returns the two ends of a channel of requests for frames. There is one request at a time.
pub fn frame_requests() -> (FrameRequester, FrameRequests) {
    mpsc::channel(1)
}

/// Makes the frames of a body as they are asked for.
pub async fn make_frames(mut body: Body, mut requests: FrameRequests) {
    while let Some(request) = requests.recv().await {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        // If the connection is gone, the task is aborted.
        drop(request.send(frame));
    }
}

impl StreamedBody {
    /// Returns the body whose frames `task` makes.
    pub const fn new(requests: FrameRequester, task: AbortOnDropHandle<()>) -> Self {
        Self {
            requests,
            next: None,
            _task: task,
        }
    }
}

impl HttpBody for StreamedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let next = this.next.get_or_insert_with(|| {
            let (sender, next) = oneshot::channel();
            // If the task has ended, the sender is dropped, and the frame is an error.
            drop(this.requests.try_send(sender));
            next
        });
        let frame = ready!(Pin::new(next).poll(cx));
        this.next = None;
        Poll::Ready(frame.unwrap_or_else(|error| Some(Err(axum::Error::new(error)))))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::stream;
    use tokio::time::timeout;

    use super::*;

    /// Returns a body of frames without an end, and their number so far.
    fn endless() -> (StreamedBody, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let frames = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>("a frame")
        });
        let (requester, requests) = frame_requests();
        let task = tokio::spawn(make_frames(Body::from_stream(frames), requests));
        let body = StreamedBody::new(requester, AbortOnDropHandle::new(task));
        (body, made)
    }

    async fn next(body: &mut StreamedBody) -> NextFrame {
        let next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        timeout(Duration::from_secs(10), next).await.unwrap()
    }

    #[tokio::test]
    async fn a_frame_is_made_when_it_is_asked_for() {
        let (mut body, made) = endless();
        for number in 1..4 {
            let frame = next(&mut body).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "a frame");
            // The task would run first.
            tokio::task::yield_now().await;
            assert_eq!(made.load(Ordering::Relaxed), number);
        }
    }

    #[tokio::test]
    async fn a_body_has_an_end_and_fails_if_its_task_ends_before() {
        let (requester, requests) = frame_requests();
        let task = tokio::spawn(make_frames(Body::empty(), requests));
        let mut body = StreamedBody::new(requester, AbortOnDropHandle::new(task));
        assert!(next(&mut body).await.is_none());
        let (requester, requests) = frame_requests();
        let task = tokio::spawn(async move { drop(requests) });
        let mut body = StreamedBody::new(requester, AbortOnDropHandle::new(task));
        assert!(next(&mut body).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn the_task_ends_with_the_body() {
        let (body, made) = endless();
        drop(body);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&made), 1);
    }
}
