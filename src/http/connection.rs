//! Connections: accept loop, HTTP/1.1 serving, graceful close, and a handle for handlers to check or close their connection.

mod first_bytes;
mod reader_pace;
mod socket;
mod streamed_body;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt;

use super::body_frames::MappedBody;
use super::middleware::is_probe;
use super::open_connections::{OpenConnection, OpenConnections, OpenRequest};
use super::response_memory::MAX_CONNECTION_BUFFER;
use super::state::Lifecycle;
use crate::turn;
use crate::workers::ConnectionHandles;
use socket::{CurrentRequest, Socket, set_options};
use streamed_body::{FrameRequester, StreamedBody, frame_requests, make_frames};

/// Maximum number of connections that the kernel has completed and the server has not accepted yet. When one more arrives, its client
/// sends again after a second. The kernel's own maximum (`net.core.somaxconn`) is 4,096 since Linux 5.4; that of `TcpListener::bind` is
/// 128, which one burst of connections fills.
const BACKLOG: u32 = 4096;

/// Delay after a failed `accept` (too many open files), so that other connections can close.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Minimum time between two warnings about connections that cannot be accepted, or have to wait.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Maximum time for which bytes are read after the last response.
const LINGER: Duration = Duration::from_secs(10);
/// Maximum pause between two reads while lingering.
const LINGER_IDLE: Duration = Duration::from_millis(500);

/// Units of a task's turn that a read while lingering takes, besides those of its bytes.
const LINGER_READ_UNITS: u32 = 8;

/// Units of a task's turn that one request takes. The next of several pipelined requests waits for the tasks that are ready.
const REQUEST_UNITS: u32 = 64;

/// Maximum pauses of a client.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// Time to receive the head of a request, and before it the first bytes of a new connection.
    pub header: Duration,
    /// Time for which a response that is being sent may wait for the client.
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

/// Returns a socket that listens on the address, with room for a burst of connections. The socket belongs to the runtime that accepts.
///
/// # Errors
/// If the address cannot be bound.
pub fn listen(address: SocketAddr, workers: &ConnectionHandles) -> io::Result<TcpListener> {
    let _entered = workers.accepting.enter();
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // On Windows, the option would let another process take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections on the threads of `workers`, until `stop` is cancelled; each connection then finishes its current
/// request. Requests are handled on the current runtime. Returns the handle of the task that accepts connections.
pub fn serve(
    listener: TcpListener,
    router: Router,
    timeouts: ConnectionTimeouts,
    connections: OpenConnections,
    lifecycle: &Lifecycle,
    stop: CancellationToken,
    workers: ConnectionHandles,
) -> JoinHandle<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .max_buf_size(MAX_CONNECTION_BUFFER)
        .header_read_timeout(timeouts.header);
    let server = Server {
        http,
        timeouts,
        workers: workers.serving,
        handler: Arc::new(Handler {
            router,
            runtime: Handle::current(),
            tasks: lifecycle.tasks.clone(),
        }),
        stop,
    };
    let accepting = accept_connections(listener, connections, server);
    lifecycle.tasks.spawn_on(accepting, &workers.accepting)
}

/// Parts that every connection needs.
#[derive(Clone)]
struct Server {
    http: hyper::server::conn::http1::Builder,
    timeouts: ConnectionTimeouts,
    /// Runtime on whose workers connections are served, but those of probes.
    workers: Handle,
    handler: Arc<Handler>,
    stop: CancellationToken,
}

/// Handler of requests.
struct Handler {
    router: Router,
    /// Runtime on whose workers requests are handled, and responses made.
    runtime: Handle,
    tasks: TaskTracker,
}

/// Response of a task that handles a request.
enum Handled {
    Complete(Response),
    /// The frames of the body are asked for one at a time.
    Streamed(Response<FrameRequester>),
}

impl Handler {
    /// Handles a request in a task of its own on the runtime of requests, but a probe in the current task. If the future or the response is
    /// dropped, the task is aborted, and ends when a worker gets to it.
    ///
    /// # Errors
    /// If the runtime ends, or the request panics outside the middleware.
    async fn handle(
        &self,
        request: http::Request<Incoming>,
    ) -> Result<Response, oneshot::error::RecvError> {
        let is_probe = is_probe(request.uri().path());
        let handling = self.router.clone().oneshot(request);
        if is_probe {
            let Ok(response) = handling.await;
            return Ok(response);
        }
        let (sender, handled) = oneshot::channel();
        let task = self.tasks.spawn_on(
            async move {
                let Ok(response) = handling.await;
                send_response(response, sender).await;
            },
            &self.runtime,
        );
        let task = AbortOnDropHandle::new(task);
        Ok(match handled.await? {
            Handled::Complete(response) => response,
            Handled::Streamed(response) => {
                response.map(|requests| Body::new(StreamedBody::new(requests, task)))
            }
        })
    }
}

/// Sends a response to its connection. If the body has no known length, makes its frames until the connection has them all.
async fn send_response(response: Response, sender: oneshot::Sender<Handled>) {
    if response.body().size_hint().exact().is_some() {
        drop(sender.send(Handled::Complete(response)));
        return;
    }
    let (head, body) = response.into_parts();
    let (requester, requests) = frame_requests();
    let response = Response::from_parts(head, requester);
    if sender.send(Handled::Streamed(response)).is_ok() {
        make_frames(body, requests).await;
    }
}

/// Accepts connections until the server stops. Each is a task of its own.
async fn accept_connections(listener: TcpListener, connections: OpenConnections, server: Server) {
    let (tasks, stop) = (&server.handler.tasks, &server.stop);
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
                tasks.spawn(start_connection(server.clone(), socket, open));
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

/// Waits for the first bytes of a connection, and starts the task that serves it. A probe is served by the thread that accepts, which does
/// little else, and its connection closed: the requests after it may be others.
async fn start_connection(mut server: Server, socket: TcpStream, open: Arc<OpenConnection>) {
    let is_probe = tokio::select! {
        biased;
        is_probe = first_bytes::are_probe(&socket) => is_probe,
        () = tokio::time::sleep(server.timeouts.header) => return,
        () = open.closing().cancelled() => return,
        () = server.stop.cancelled() => return,
    };
    let tasks = server.handler.tasks.clone();
    let moved = match is_probe {
        Ok(true) => {
            server.http.keep_alive(false);
            tasks.spawn(serve_connection(server, socket, open));
            return;
        }
        Ok(false) => socket.into_std(),
        Err(error) => Err(error),
    };
    let workers = server.workers.clone();
    let serving = async move {
        match moved.and_then(TcpStream::from_std) {
            Ok(socket) => serve_connection(server, socket, open).await,
            Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
        }
    };
    tasks.spawn_on(serving, &workers);
}

async fn serve_connection(server: Server, socket: TcpStream, open: Arc<OpenConnection>) {
    let Server {
        http,
        timeouts,
        handler,
        stop,
        ..
    } = server;
    let socket = Arc::new(socket);
    let connection = Connection { socket, open };
    let socket = Arc::clone(&connection.socket);
    set_options(&socket);
    let closing = connection.open.closing().clone();
    let current = CurrentRequest::default();
    let io = TokioIo::new(Socket::new(
        Arc::clone(&socket),
        Arc::clone(&connection.open),
        current.clone(),
        timeouts.idle,
    ));
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let open = OpenRequest::begin(&connection.open);
        let unsent = current.begin(open.clone());
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(open);
        let handler = Arc::clone(&handler);
        async move {
            poll_fn(|cx| turn::poll_take(cx, REQUEST_UNITS)).await;
            let response = handler.handle(request).await?;
            let keep = move |frame| {
                let _unsent = &unsent;
                frame
            };
            Ok::<_, oneshot::error::RecvError>(response.map(|body| MappedBody::new(body, keep)))
        }
    });
    let serving = http.serve_connection(io, service);
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
            // A client that goes on sending does not keep the thread.
            Ok(read) => {
                let units = LINGER_READ_UNITS + turn::units_for(read);
                poll_fn(|cx| turn::poll_take(cx, units)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use axum::Extension;
    use axum::http::StatusCode;
    use axum::routing::get;
    use throttle::CallerId;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::workers::ConnectionWorkers;

    const ALICE: CallerId = CallerId(1);

    /// Size of a response that does not fit into the buffers of sockets.
    const LARGE_BYTES: usize = 16 << 20;

    /// Returns handles of the current runtime.
    fn current() -> ConnectionHandles {
        ConnectionHandles {
            accepting: Handle::current(),
            serving: Handle::current(),
        }
    }

    /// Starts a server of at most `max` connections.
    fn start(max: usize, router: Router) -> SocketAddr {
        start_on(current(), max, router)
    }

    /// Starts a server whose connections are served by `workers`.
    fn start_on(workers: ConnectionHandles, max: usize, router: Router) -> SocketAddr {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &workers).unwrap();
        let address = listener.local_addr().unwrap();
        let timeouts = ConnectionTimeouts {
            header: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        };
        serve(
            listener,
            router,
            timeouts,
            OpenConnections::new(max, 3),
            &Lifecycle::default(),
            CancellationToken::new(),
            workers,
        );
        address
    }

    /// No client of a burst has to send again, even if the server accepts none of them at once. Other systems permit a shorter queue.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_burst_of_connections_waits_for_the_accept_loop() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &current()).unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = async {
            let mut clients = Vec::new();
            for _ in 0..400 {
                clients.push(TcpStream::connect(address).await.unwrap());
            }
            clients
        };
        let clients = tokio::time::timeout(Duration::from_secs(10), connecting)
            .await
            .expect("the queue of the listening socket is full");
        assert_eq!(clients.len(), 400);
    }

    /// Returns a response of one large part.
    async fn large() -> Vec<u8> {
        vec![0; LARGE_BYTES]
    }

    /// Returns a large response that is counted for Alice, with her share of requests.
    async fn large_for_alice(
        Extension(open): Extension<OpenRequest>,
    ) -> Result<Vec<u8>, StatusCode> {
        match open.count_for(ALICE, true) {
            Ok(()) => Ok(large().await),
            Err(_) => Err(StatusCode::TOO_MANY_REQUESTS),
        }
    }

    async fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Reads the status of a response, and no more.
    async fn status(client: &mut TcpStream) -> String {
        let mut line = [0; 12];
        let reading = client.read_exact(&mut line);
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    }

    /// Reads the rest of a response's head.
    async fn skip_head(client: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
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
    async fn a_probe_is_answered_while_all_other_workers_are_busy() {
        let workers = ConnectionWorkers::start().unwrap();
        let handles = ConnectionHandles {
            // The connections that are no probes belong to the only worker of the test, which is blocked below.
            serving: Handle::current(),
            ..workers.handles()
        };
        let router = Router::new().route("/healthz", get(async || "ok"));
        let address = start_on(handles, 3, router);
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let timeout = Some(Duration::from_secs(30));
        client.set_read_timeout(timeout).unwrap();
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("ok"), "{answer}");
    }

    /// Probes, which need no waiting, would otherwise be answered in few turns, during which nobody else is served.
    #[tokio::test]
    async fn pipelined_probes_let_others_have_their_turns() {
        let address = start(3, Router::new().route("/healthz", get(async || "ok\n")));
        let pipelined = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400);
        let turns = turn::turns_during(address, &pipelined, b"ok\n", 400).await;
        assert!(turns >= 400, "{turns} turns during 400 requests");
    }

    #[tokio::test]
    async fn requests_and_bodies_belong_to_the_runtime_of_requests() {
        let workers = ConnectionWorkers::start().unwrap();
        let flavor = || format!("{:?}", Handle::current().runtime_flavor());
        let route = get(move || {
            let handled = flavor();
            let sent = async move { Ok::<_, io::Error>(format!("{handled} {}", flavor())) };
            async { Body::from_stream(futures_util::stream::once(sent)) }
        });
        let address = start_on(workers.handles(), 3, Router::new().route("/", route));
        let mut client = ask(address, "/").await;
        skip_head(&mut client).await;
        let expected = b"1B\r\nCurrentThread CurrentThread";
        let mut chunk = vec![0; expected.len()];
        let reading = client.read_exact(&mut chunk);
        let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
        read.unwrap().unwrap();
        assert_eq!(chunk, expected);
    }

    #[tokio::test]
    async fn idle_connections_make_room_and_new_ones_wait_for_those_with_a_request() {
        let ends = Arc::new(Notify::new());
        let (reports, mut reported) = mpsc::unbounded_channel();
        let end = Arc::clone(&ends);
        let route = get(move |Extension(open): Extension<OpenRequest>| async move {
            open.count_for(ALICE, false).unwrap();
            reports.send(()).unwrap();
            end.notified().await;
        });
        let address = start(2, Router::new().route("/", route));
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut first = ask(address, "/").await;
        reported.recv().await.unwrap();
        let _second = ask(address, "/").await;
        assert_eq!(read(&mut idle).await, "", "closed for the second request");
        reported.recv().await.unwrap();
        let _third = ask(address, "/").await;
        tokio::task::yield_now().await;
        assert!(reported.is_empty(), "the third one waits");
        ends.notify_one();
        let answer = read(&mut first).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        reported.recv().await.unwrap();
    }

    /// The server waits for the clients, until `idle` has passed.
    #[tokio::test]
    async fn unread_responses_of_nobody_make_room() {
        let address = start(2, Router::new().route("/", get(large)));
        let mut unread: Vec<TcpStream> = Vec::new();
        for _ in 0..6 {
            let mut client = ask(address, "/").await;
            assert_eq!(status(&mut client).await, "HTTP/1.1 200");
            // A little at a time does not keep the place.
            for client in &mut unread {
                drop(client.read(&mut [0; 1000]).await);
            }
            unread.push(client);
        }
    }

    #[tokio::test]
    async fn a_response_is_its_callers_until_it_is_sent() {
        let router = Router::new()
            .route("/", get(large))
            .route("/alice", get(large_for_alice));
        let address = start(4, router);
        let mut sending = Vec::new();
        for _ in 0..2 {
            let mut client = ask(address, "/alice").await;
            assert_eq!(status(&mut client).await, "HTTP/1.1 200");
            sending.push(client);
        }
        // Two of four places are her share.
        let mut refused = ask(address, "/alice").await;
        assert_eq!(status(&mut refused).await, "HTTP/1.1 429");
        // Others make room for nobody's requests; what is sent to her goes on.
        let mut others = Vec::new();
        for _ in 0..6 {
            let mut other = ask(address, "/").await;
            assert_eq!(status(&mut other).await, "HTTP/1.1 200");
            others.push(other);
        }
        for client in &mut sending {
            skip_head(client).await;
            client.read_exact(&mut vec![0; LARGE_BYTES]).await.unwrap();
        }
        let mut next = ask(address, "/alice").await;
        assert_eq!(status(&mut next).await, "HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_large_head_takes_several_places() {
        let address = start(3, Router::new().route("/", get(async || ())));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(ask(address, "/").await);
        }
        // Many requests with small heads do not count as a large head.
        let name = "x".repeat(socket::LARGE_HEAD_BYTES / 2);
        let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n");
        for _ in 0..4 {
            for client in &mut clients {
                skip_head(client).await;
                client.write_all(request.as_bytes()).await.unwrap();
            }
        }
        for client in &mut clients {
            skip_head(client).await;
        }
        let mut large = clients.pop().unwrap();
        let value = "x".repeat(socket::LARGE_HEAD_BYTES);
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {value}");
        large.write_all(head.as_bytes()).await.unwrap();
        for client in &mut clients {
            assert_eq!(read(client).await, "", "closed for the large head");
        }
        large.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(status(&mut large).await, "HTTP/1.1 200");
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
            unsent <= 4 * socket::MAX_UNSENT_BYTES as usize,
            "{sent} of {received}"
        );
    }
}
