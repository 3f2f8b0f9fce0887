//! Connections: accepting them, and what a handler may know of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::Lifecycle;

/// After a failed `accept` (too many open files): give the others time to close.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How long a client may go on sending after the last answer, and how long it may pause.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_IDLE: Duration = Duration::from_millis(500);

/// The connection that a request came by; among the request's extensions.
#[derive(Debug, Clone)]
pub struct Connection {
    socket: Arc<TcpStream>,
    closing: CancellationToken,
}

impl Connection {
    /// Closes it at once, whatever is under way on it.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Whether the client has closed its side, even if there are bytes of it that were not read yet.
    pub fn has_left(&self) -> bool {
        match self.socket.ready(Interest::READABLE).now_or_never() {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

/// Answers connections until `stop`, then lets each finish its request.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    lifecycle: Lifecycle,
    stop: CancellationToken,
) {
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                lifecycle
                    .tasks
                    .spawn(answer(server.clone(), socket, router.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn answer(
    server: hyper::server::conn::http1::Builder,
    socket: TcpStream,
    router: Router,
    stop: CancellationToken,
) {
    // Answers are small and waited for: an error here costs only latency.
    drop(socket.set_nodelay(true));
    let socket = Arc::new(socket);
    let connection = Connection {
        socket: Arc::clone(&socket),
        closing: CancellationToken::new(),
    };
    let closing = connection.closing.clone();
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(connection.clone());
        request
    });
    let io = TokioIo::new(Socket(Arc::clone(&socket)));
    let serving = server.serve_connection(io, TowerToHyperService::new(service));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = closing.cancelled() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    match ended {
        Ok(()) => linger(&socket).await,
        Err(error) => {
            tracing::debug!(%error, "a connection ended early");
            // What is no HTTP has been answered with a 4xx, which is to be seen too.
            if error.is_parse() {
                linger(&socket).await;
            }
        }
    }
}

/// Reads on for a while after the last answer. A client that was refused may still be sending; to close at once would reset the
/// connection, and it would never see why it was refused.
async fn linger(socket: &TcpStream) {
    // On the heap: every connection's task has room for what this function holds.
    let mut nowhere = vec![0; 16 * 1024];
    let until = tokio::time::Instant::now() + LINGER;
    while tokio::time::Instant::now() < until {
        let Ok(Ok(())) = tokio::time::timeout(LINGER_IDLE, socket.readable()).await else {
            return;
        };
        match socket.try_read(&mut nowhere) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A socket that can be looked at while it is being used.
#[derive(Debug)]
struct Socket(Arc<TcpStream>);

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
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
    fn poll_out<T>(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |socket| socket.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
