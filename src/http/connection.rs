//! Connections: accept loop, HTTP/1.1 serving, graceful close, and a handle for handlers to check or close their connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::body_frames::MappedBody;
use super::open_connections::{InUse, OpenConnection, OpenConnections, OpenRequest};
use super::response_memory::MAX_CONNECTION_BUFFER;
use super::state::Lifecycle;
use crate::turn;

/// Delay after a failed `accept` (too many open files), so that other connections can close.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Minimum time between two warnings about connections that cannot be accepted, or have to wait.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Maximum time for which bytes are read after the last response.
const LINGER: Duration = Duration::from_secs(10);
/// Maximum pause between two reads while lingering.
const LINGER_IDLE: Duration = Duration::from_millis(500);

/// Units of a task's turn that one request takes. The next of several pipelined requests waits for the tasks that are ready.
const REQUEST_UNITS: u32 = 64;

/// Maximum number of bytes of a response that wait in the kernel to be sent, where it can be limited (Linux). A client that does not
/// read would otherwise take megabytes of the kernel's memory for each connection, and its connection's turn as long as it takes to
/// copy them.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 64 * 1024;

/// Maximum pauses of a client.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// Time to receive the head of a request.
    pub header: Duration,
    /// Time without reading a byte of a response that is being sent.
    pub idle: Duration,
}

/// Connection of a request; among the request's extensions.
#[derive(Debug, Clone)]
pub struct Connection {
    socket: Arc<TcpStream>,
    open: Arc<OpenConnection>,
}

impl Connection {
    /// Closes the connection at once, aborting its request and response.
    pub fn close(&self) {
        self.open.closing().cancel();
    }

    /// Returns true if the client has closed its side, even if received bytes are still unread.
    pub fn is_closed_by_client(&self) -> bool {
        match self.socket.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

/// Serves connections until `stop` is cancelled; each connection then finishes its current request.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    timeouts: ConnectionTimeouts,
    connections: OpenConnections,
    lifecycle: Lifecycle,
    stop: CancellationToken,
) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .max_buf_size(MAX_CONNECTION_BUFFER)
        .header_read_timeout(timeouts.header);
    let mut warnings = Warnings::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                if connections.is_full() && warnings.are_due() {
                    let max = connections.max();
                    tracing::warn!(
                        max,
                        "the maximum of connections is open, all with requests; new ones wait, and this warning is repeated after 10 s at the earliest"
                    );
                }
                let open = tokio::select! {
                    open = connections.admit() => open,
                    () = stop.cancelled() => return,
                };
                let socket = Arc::new(socket);
                lifecycle.tasks.spawn(serve_connection(
                    server.clone(),
                    Connection { socket, open },
                    timeouts.idle,
                    router.clone(),
                    stop.clone(),
                ));
            }
            Err(error) => {
                // Twenty times a second, for as long as there are too many open files.
                if warnings.are_due() {
                    tracing::warn!(%error, "connections cannot be accepted; each is tried again in 50 ms, and this warning is repeated after 10 s at the earliest");
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Limits the warnings of the accept loop.
#[derive(Debug, Default)]
struct Warnings(Option<Instant>);

impl Warnings {
    /// Returns true if the last warning is long ago; then the next one is given now.
    fn are_due(&mut self) -> bool {
        let are_due = (self.0).is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if are_due {
            self.0 = Some(Instant::now());
        }
        are_due
    }
}

async fn serve_connection(
    server: hyper::server::conn::http1::Builder,
    connection: Connection,
    idle_timeout: Duration,
    router: Router,
    stop: CancellationToken,
) {
    let socket = Arc::clone(&connection.socket);
    set_options(&socket);
    let closing = connection.open.closing().clone();
    let io = TokioIo::new(Socket::new(&connection, idle_timeout));
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let open = OpenRequest::begin(&connection.open);
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(open.clone());
        let router = router.clone();
        async move {
            poll_fn(|cx| turn::poll_take(cx, REQUEST_UNITS)).await;
            let response = router.oneshot(request).await?;
            // The request is open until its response has been handed to the connection.
            let keep_open = move |frame| {
                let _open = &open;
                frame
            };
            Ok::<_, Infallible>(response.map(|body| MappedBody::new(body, keep_open)))
        }
    });
    let serving = server.serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = closing.cancelled() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
        // hyper has sent a 4xx for invalid HTTP, which the client must be able to read.
        if !error.is_parse() {
            return;
        }
    }
    closing.run_until_cancelled(linger(&socket)).await;
}

/// Sets the options of a connection. An error is ignored: it costs only latency or memory.
fn set_options(socket: &TcpStream) {
    // Responses are small and latency-sensitive.
    drop(socket.set_nodelay(true));
    #[cfg(target_os = "linux")]
    drop(socket2::SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT_BYTES));
}

/// Reads and discards bytes after the last response (lingering close). A rejected client may still be sending; closing at once would
/// reset the connection before the client reads the response.
async fn linger(socket: &TcpStream) {
    // On the heap, because each connection's task is as large as this function's locals.
    let mut discarded = vec![0; 16 * 1024];
    let deadline = tokio::time::Instant::now() + LINGER;
    while tokio::time::Instant::now() < deadline {
        let Ok(Ok(())) = tokio::time::timeout(LINGER_IDLE, socket.readable()).await else {
            return;
        };
        match socket.try_read(&mut discarded) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Socket shared by the connection's task and its [`Connection`] handles. Fails if the client reads nothing for a time.
#[derive(Debug)]
struct Socket {
    stream: Arc<TcpStream>,
    open: Arc<OpenConnection>,
    idle_timeout: Duration,
    /// Timer of the current wait for the client to read, during which the connection is in use; `None` while nothing waits to be sent.
    write_timer: Option<(Pin<Box<Sleep>>, InUse)>,
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Socket {
    fn new(connection: &Connection, idle_timeout: Duration) -> Self {
        Self {
            stream: Arc::clone(&connection.socket),
            open: Arc::clone(&connection.open),
            idle_timeout,
            write_timer: None,
        }
    }

    fn poll_write_with<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return self.poll_write_timer(cx).map(Err),
            }
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.write_timer = None;
                    return Poll::Ready(done);
                }
            }
        }
    }

    /// Waits until the client has read nothing for the idle timeout. Returns the error that ends the connection.
    fn poll_write_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.idle_timeout;
        let open = &self.open;
        let (timer, _) = (self.write_timer)
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(timeout)), open.begin_use()));
        ready!(timer.as_mut().poll(cx));
        tracing::warn!(
            timeout_ms = timeout.as_millis(),
            "disconnected a client that did not read its response (`server.idle_timeout_ms`)"
        );
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client did not read its response",
        ))
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, mpsc};

    use super::*;

    /// Starts a server of at most `max` connections, whose only route reports a request and ends with the notification.
    async fn start(max: usize) -> (SocketAddr, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(Notify::new());
        let (reports, reported) = mpsc::unbounded_channel();
        let end = Arc::clone(&ends);
        let route = axum::routing::get(move || async move {
            reports.send(()).unwrap();
            end.notified().await;
        });
        let timeouts = ConnectionTimeouts {
            header: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        };
        tokio::spawn(serve(
            listener,
            Router::new().route("/", route),
            timeouts,
            OpenConnections::new(max),
            Lifecycle::default(),
            CancellationToken::new(),
        ));
        (address, reported, ends)
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        client
    }

    /// Reads what the server sends, until it closes the connection.
    async fn read(client: &mut TcpStream) -> String {
        let mut text = String::new();
        let reading = client.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap()
            .unwrap();
        text
    }

    #[tokio::test]
    async fn idle_connections_make_room_and_new_ones_wait_for_those_with_a_request() {
        let (address, mut reported, ends) = start(2).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut first = ask(address).await;
        reported.recv().await.unwrap();
        let _second = ask(address).await;
        assert_eq!(read(&mut idle).await, "", "closed for the second request");
        reported.recv().await.unwrap();
        let _third = ask(address).await;
        tokio::task::yield_now().await;
        assert!(reported.is_empty(), "the third one waits");
        ends.notify_one();
        let answer = read(&mut first).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        reported.recv().await.unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn little_waits_in_the_kernel_for_a_client_that_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        set_options(&socket);
        let chunk = vec![0; 1 << 20];
        let mut sent = 0;
        // Until the client's own buffer is full too.
        while let Ok(Ok(())) =
            tokio::time::timeout(Duration::from_millis(200), socket.writable()).await
        {
            sent += socket.try_write(&chunk).unwrap_or_default();
        }
        let received = socket2::SockRef::from(&client).recv_buffer_size().unwrap();
        let unsent = sent.saturating_sub(received);
        assert!(
            unsent <= 4 * MAX_UNSENT_BYTES as usize,
            "{sent} of {received}"
        );
    }
}
