//! The body of a request: lines as they are read. What was sent is kept until it is answered, so that it can be sent again.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use tokio::sync::mpsc;

use super::input_line::InputLine;

/// Lines that are there already are sent together, up to about this many bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// What is to be sent, over as many requests as it takes.
#[derive(Debug, Clone)]
pub struct UploadQueue(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    lines: mpsc::Receiver<InputLine>,
    /// Sent by an earlier request, which did not answer them.
    again: VecDeque<InputLine>,
    /// What this request was sent, by the index that it has there.
    sent: HashMap<u64, InputLine>,
    next: u64,
    /// Which request this is: the body of an earlier one gets no more.
    request: u64,
    is_read: bool,
}

impl UploadQueue {
    pub fn new(lines: mpsc::Receiver<InputLine>) -> Self {
        let (again, sent) = (VecDeque::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State {
            lines,
            again,
            sent,
            next: 0,
            request: 0,
            is_read: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a new request; the one before is over.
    pub fn body(&self) -> Body {
        let mut state = self.lock();
        let mut again = Vec::from(std::mem::take(&mut state.again));
        again.extend(state.sent.drain().map(|(_, line)| line));
        again.sort_unstable_by_key(|line| line.index);
        state.again = again.into();
        state.next = 0;
        state.request += 1;
        Body {
            feed: self.clone(),
            request: state.request,
        }
    }

    /// What the request knows by this index; `None` when it was not sent, or has been answered.
    pub fn answered(&self, index: u64) -> Option<InputLine> {
        self.lock().sent.remove(&index)
    }

    /// Whether everything was read, sent and answered.
    pub fn is_done(&self) -> bool {
        let state = self.lock();
        state.is_read && state.again.is_empty() && state.sent.is_empty()
    }
}

/// The body of one request.
#[derive(Debug)]
pub struct Body {
    feed: UploadQueue,
    request: u64,
}

impl State {
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<InputLine>> {
        if let Some(line) = self.again.pop_front() {
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
        let mut state = self.feed.lock();
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
    fn what_was_not_answered_is_sent_again_and_nothing_else() {
        let (sender, lines) = mpsc::channel(8);
        let feed = UploadQueue::new(lines);
        for index in [2, 5, 7] {
            sender
                .try_send(InputLine::new(index, &index.to_string()))
                .unwrap();
        }
        let mut first = feed.body();
        assert_eq!(poll(&mut first), Poll::Ready(Some("2\n5\n7\n".to_owned())));
        assert!(poll(&mut first).is_pending());
        assert_eq!(feed.answered(1).unwrap().index, 5);
        assert!(feed.answered(1).is_none());
        let mut second = feed.body();
        sender.try_send(InputLine::new(9, "9")).unwrap();
        drop(sender);
        assert_eq!(
            poll(&mut first),
            Poll::Ready(None),
            "the body of a request that is over gets nothing"
        );
        assert_eq!(poll(&mut second), Poll::Ready(Some("2\n7\n9\n".to_owned())));
        assert_eq!(poll(&mut second), Poll::Ready(None));
        assert!(!feed.is_done());
        let answered = [0, 1, 2].map(|index| feed.answered(index).unwrap().index);
        assert_eq!((answered, feed.is_done()), ([2, 7, 9], true));
    }
}
