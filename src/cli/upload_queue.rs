//! Upload queue: the streaming body of a request. Lines that were sent are kept until their result
//! arrives, so that a later request can send them again.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use tokio::sync::mpsc;

use super::input_line::InputLine;

/// Approximate maximum size of a chunk in bytes; available lines are sent together.
const CHUNK_BYTES: usize = 16 * 1024;

/// Lines to send, over one or more requests.
#[derive(Debug, Clone)]
pub struct UploadQueue(Arc<Mutex<State>>);

/// State that the queue shares with the body of the current request.
#[derive(Debug)]
struct State {
    lines: mpsc::Receiver<InputLine>,
    /// Lines of an earlier request without a result.
    resend: VecDeque<InputLine>,
    /// Lines of the current request without a result, by their index within the request.
    sent: HashMap<u64, InputLine>,
    /// Index of the next line within the request.
    next: u64,
    /// Number of the current request; bodies of earlier requests yield nothing more.
    request: u64,
    /// True once all lines have been received.
    is_read: bool,
}

impl UploadQueue {
    /// Returns a queue that reads lines from a channel.
    pub fn new(lines: mpsc::Receiver<InputLine>) -> Self {
        let (resend, sent) = (VecDeque::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State {
            lines,
            resend,
            sent,
            next: 0,
            request: 0,
            is_read: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a new request, and returns its body; the previous request is over.
    pub fn body(&self) -> Body {
        let mut state = self.lock();
        let mut resend = Vec::from(std::mem::take(&mut state.resend));
        resend.extend(state.sent.drain().map(|(_, line)| line));
        resend.sort_unstable_by_key(|line| line.index);
        state.resend = resend.into();
        state.next = 0;
        state.request += 1;
        Body {
            queue: self.clone(),
            request: state.request,
        }
    }

    /// Removes and returns the line that has this index within the request. `None`: it was not
    /// sent, or already has a result.
    pub fn take_sent(&self, index: u64) -> Option<InputLine> {
        self.lock().sent.remove(&index)
    }

    /// Returns true if every line was read and sent, and has a result.
    pub fn is_done(&self) -> bool {
        let state = self.lock();
        state.is_read && state.resend.is_empty() && state.sent.is_empty()
    }
}

/// Body of one request.
#[derive(Debug)]
pub struct Body {
    queue: UploadQueue,
    request: u64,
}

impl State {
    /// Polls for the next line to send; `None` at the end.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<InputLine>> {
        if let Some(line) = self.resend.pop_front() {
            return Poll::Ready(Some(line));
        }
        if self.is_read {
            return Poll::Ready(None);
        }
        let line = std::task::ready!(self.lines.poll_recv(cx));
        self.is_read = line.is_none();
        Poll::Ready(line)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.queue.lock();
        if state.request != self.request {
            return Poll::Ready(None);
        }
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK_BYTES {
            match state.poll_line(cx) {
                Poll::Ready(Some(line)) => {
                    chunk.put_slice(&line.json);
                    chunk.put_u8(b'\n');
                    let index = state.next;
                    state.sent.insert(index, line);
                    state.next += 1;
                }
                Poll::Ready(None) if chunk.is_empty() => return Poll::Ready(None),
                Poll::Pending if chunk.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Frame::data(chunk.freeze()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(body: &mut Body) -> Poll<Option<String>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = http_body::Body::poll_frame(Pin::new(body), &mut cx);
        polled.map(|frame| {
            frame.map(|frame| {
                String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap()
            })
        })
    }

    #[test]
    fn a_new_request_sends_only_the_lines_without_a_result() {
        let (sender, lines) = mpsc::channel(8);
        let queue = UploadQueue::new(lines);
        for index in [2, 5, 7] {
            sender
                .try_send(InputLine::new(index, &index.to_string()))
                .unwrap();
        }
        let mut first = queue.body();
        assert_eq!(poll(&mut first), Poll::Ready(Some("2\n5\n7\n".to_owned())));
        assert!(poll(&mut first).is_pending());
        assert_eq!(queue.take_sent(1).unwrap().index, 5);
        assert!(queue.take_sent(1).is_none());
        let mut second = queue.body();
        sender.try_send(InputLine::new(9, "9")).unwrap();
        drop(sender);
        assert_eq!(
            poll(&mut first),
            Poll::Ready(None),
            "the body of an earlier request yields nothing"
        );
        assert_eq!(poll(&mut second), Poll::Ready(Some("2\n7\n9\n".to_owned())));
        assert_eq!(poll(&mut second), Poll::Ready(None));
        assert!(!queue.is_done());
        let answered = [0, 1, 2].map(|index| queue.take_sent(index).unwrap().index);
        assert_eq!((answered, queue.is_done()), ([2, 7, 9], true));
    }
}
