//! Socket of a connection: what hyper reads and writes, the time for which it waits for the client, and the request that is open on it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::super::open_connections::{OpenConnection, OpenRequest};
use super::super::request_body::MIN_BYTES_PER_S;
use super::reader_pace::ReaderPace;

/// Maximum number of bytes that are read from a connection at once: as many as hyper's buffer begins with. Whenever a read fills the buffer,
/// hyper doubles it, and the connection keeps it.
const READ_BYTES: usize = 8 * 1024;

/// Size above which a head is large, in bytes.
pub const LARGE_HEAD_BYTES: usize = READ_BYTES;

/// Maximum number of bytes of a response that wait in the kernel to be sent, where it can be limited (Linux). A client that does not
/// read would otherwise take megabytes of the kernel's memory for each connection, and its connection's turn as long as it takes to
/// copy them.
#[cfg(target_os = "linux")]
pub const MAX_UNSENT_BYTES: u32 = 64 * 1024;

/// Sets the options of a connection. An error is ignored: it costs only latency or memory.
pub fn set_options(socket: &TcpStream) {
    // Responses are small and latency-sensitive.
    drop(socket.set_nodelay(true));
    #[cfg(target_os = "linux")]
    drop(socket2::SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT_BYTES));
}

/// Request of a connection, which is open until its response has been written to the socket: hyper takes a body that has one part at
/// once, however slowly the client reads.
#[derive(Debug, Clone, Default)]
pub struct CurrentRequest(Arc<Mutex<CurrentState>>);

#[derive(Debug, Default)]
struct CurrentState {
    open: Option<OpenRequest>,
    /// True once hyper has the whole response.
    is_taken: bool,
    /// Received bytes of the next head, which is not complete.
    head_bytes: usize,
}

/// Response that hyper has not taken to its end; dropped with its body.
pub struct UntakenResponse(CurrentRequest);

impl CurrentRequest {
    /// Begins a request.
    pub fn begin(&self, open: OpenRequest) -> UntakenResponse {
        *self.lock() = CurrentState {
            open: Some(open),
            ..CurrentState::default()
        };
        UntakenResponse(self.clone())
    }

    /// Counts received bytes, if they can be of the next head. Returns the number of its bytes.
    fn count_of_head(&self, received: usize) -> usize {
        let mut state = self.lock();
        if state.open.is_none() || state.is_taken {
            state.head_bytes += received;
        }
        state.head_bytes
    }

    /// Ends the request if hyper has taken its response. Must be called when everything that hyper has taken is written.
    fn end_if_taken(&self) {
        let mut state = self.lock();
        if state.is_taken {
            drop(state.open.take());
            state.is_taken = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, CurrentState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UntakenResponse {
    fn drop(&mut self) {
        self.0.lock().is_taken = true;
    }
}

/// Socket shared by the connection's task and its handles. Fails if the client reads nothing for a time, or too slowly.
#[derive(Debug)]
pub struct Socket {
    stream: Arc<TcpStream>,
    open: Arc<OpenConnection>,
    current: CurrentRequest,
    pace: ReaderPace,
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let most = buffer.remaining().min(READ_BYTES);
            match self.stream.try_read(buffer.initialize_unfilled_to(most)) {
                Ok(read) => {
                    buffer.advance(read);
                    if self.current.count_of_head(read) > LARGE_HEAD_BYTES {
                        self.open.set_large();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    pub const fn new(
        stream: Arc<TcpStream>,
        open: Arc<OpenConnection>,
        current: CurrentRequest,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            open,
            current,
            pace: ReaderPace::new(idle_timeout),
        }
    }

    fn poll_write_with(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return self.poll_too_slow(cx).map(Err),
            }
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.pace.wrote(done.as_ref().copied().unwrap_or_default());
                    return Poll::Ready(done);
                }
            }
        }
    }

    /// Waits until the client is too slow. Returns the error that ends the connection.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.pace.poll_too_slow(cx));
        tracing::warn!(
            timeout_ms = self.pace.idle_timeout().as_millis(),
            min_bytes_per_s = MIN_BYTES_PER_S,
            "disconnected a client that did not read its response, or read it too slowly (`server.idle_timeout_ms`)"
        );
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client did not read its response",
        ))
    }
}

impl Drop for Socket {
    /// Resets a connection that ends while the client does not read: otherwise, what is not sent would stay in the kernel's memory until the
    /// kernel gives it up.
    fn drop(&mut self) {
        if self.pace.is_waiting() {
            drop(socket2::SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |socket| socket.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ends the request that hyper has answered: it flushes only when it has written all that it has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.current.end_if_taken();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write))
    }
}
