//! A small HTTP client: a connection of its own for each request, so that dropping a response is a client that goes away. Every
//! wait has a limit.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than any single answer of a healthy server takes in these tests.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits for `future`; fails the test with `what` after `limit`.
#[track_caller]
pub fn within<T>(
    limit: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(limit, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: not within {limit:?}: {what}"),
        }
    }
}

/// Asks again and again until `question` gives an answer; fails the test with `what` after `limit`.
#[track_caller]
pub fn eventually<T>(
    limit: Duration,
    what: &str,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    within(limit, what, async move {
        loop {
            if let Some(value) = question().await {
                return value;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
}

/// Where to send requests, and with what headers.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Vec::new(),
        }
    }

    /// The same with one more header on each request.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same as the caller with this key.
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a request.
    pub fn request(&self, method: Method, path: &str) -> Sending {
        let mut builder = Request::builder().method(method).uri(path);
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            builder = builder.header("host", self.address.to_string());
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        Sending {
            address: self.address,
            builder,
            body: empty(),
        }
    }

    /// `GET path`, whole.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).answer().await
    }

    /// `POST path` with a JSON body, whole.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).answer().await
    }

    /// `POST /v1/extract`.
    pub async fn extract(&self, body: &Value) -> Answer {
        self.post("/v1/extract", body).await
    }

    /// `POST /v1/extract/batch`, ordered.
    pub async fn batch(&self, body: &Value) -> Answer {
        self.post("/v1/extract/batch", body).await
    }

    /// A POST of JSON whose answer is read as it comes.
    pub async fn open(&self, path: &str, accept: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .header("accept", accept)
            .json(body)
            .send()
            .await
    }

    /// A row of `GET /v1/limits`, the first of that kind; `None` when there is none.
    pub async fn limit(&self, kind: &str) -> Option<Value> {
        let answer = self.get("/v1/limits").await;
        let limits = answer.ok()["limits"]
            .as_array()
            .expect("limits is an array")
            .clone();
        limits.into_iter().find(|limit| limit["kind"] == kind)
    }

    /// The row of `GET /v1/limits` of that kind and scope (`all`, `caller:NAME`); `None` when there is none.
    pub async fn limit_of(&self, kind: &str, scope: &str) -> Option<Value> {
        let limits = self.get("/v1/limits").await.ok()["limits"]
            .as_array()
            .expect("limits is an array")
            .clone();
        limits
            .into_iter()
            .find(|limit| limit["kind"] == kind && limit["scope"] == scope)
    }

    /// Waits until nothing is in flight and nobody waits.
    pub async fn wait_until_idle(&self, limit: Duration) {
        eventually(
            limit,
            "nothing in flight and nobody waiting in /v1/limits",
            async || {
                let answer = self.get("/v1/limits").await;
                let limits = answer.ok()["limits"].as_array().unwrap().clone();
                let busy = limits.iter().any(|limit| {
                    limit["waiting"].as_u64().unwrap_or(0) > 0
                        || (limit["kind"] == "concurrency" || limit["kind"] == "queue")
                            && limit["in_use"].as_u64() != Some(0)
                });
                (!busy).then_some(())
            },
        )
        .await;
    }

    /// Sends bytes as they are and reads meanwhile, to the end of the connection, or until nothing came for `quiet`. What came is
    /// told even when the server closed before it had read everything.
    pub async fn raw(&self, bytes: &[u8], quiet: Duration) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let mut got = Vec::new();
        let read =
            async { while let Ok(Ok(1..)) = timeout(quiet, reader.read_buf(&mut got)).await {} };
        let write = async {
            // A server that refuses may close before it has read everything.
            let _ = writer.write_all(bytes).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
        String::from_utf8_lossy(&got).into_owned()
    }
}

/// A request being put together.
pub struct Sending {
    address: SocketAddr,
    builder: http::request::Builder,
    body: Body,
}

impl Sending {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// A JSON body with its content type.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .bytes(body.to_string())
    }

    /// A body as it is; the content type is the caller's.
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Full::new(body.into())
            .map_err(|never| match never {})
            .boxed();
        self
    }

    /// An NDJSON body of these lines, with its content type.
    pub fn lines(self, lines: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let body: String = lines
            .into_iter()
            .map(|line| format!("{}\n", line.as_ref()))
            .collect();
        self.header("content-type", "application/x-ndjson")
            .bytes(body)
    }

    /// A body that is sent as it comes.
    pub fn stream(mut self, chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Self {
        let frames = futures_util::StreamExt::map(chunks, |chunk| Ok(Frame::data(chunk)));
        self.body = StreamBody::new(frames).boxed();
        self
    }

    /// Sends it, and returns once the head of the response is there.
    pub async fn send(self) -> Response {
        let target = format!(
            "{:?} {:?}",
            self.builder.method_ref(),
            self.builder.uri_ref()
        );
        self.try_send()
            .await
            .unwrap_or_else(|| panic!("{target}: no response"))
    }

    /// The same; `None` when there is nobody, or the connection breaks before the head.
    pub async fn try_send(self) -> Option<Response> {
        let request = self
            .builder
            .body(self.body)
            .expect("the request is well formed");
        let sending = async {
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .ok()?;
            let connection = Connection(tokio::spawn(async move {
                // How it ended shows in the response.
                let _ = connection.await;
            }));
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            Some(Response {
                status: head.status,
                headers: head.headers,
                body,
                buffer: BytesMut::new(),
                _connection: connection,
            })
        };
        within(LIMIT, "a response, or none", sending).await
    }

    /// Sends it, and reads the whole response.
    pub async fn answer(self) -> Answer {
        self.send().await.whole().await
    }
}

fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed()
}

/// Closes the connection when dropped.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response whose body is read as it comes. Dropped, the client has gone away.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
    _connection: Connection,
}

impl Response {
    /// Fails the test when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.headers);
        self
    }

    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// More bytes; `None` at the body's end. Fails the test when the body breaks off.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.try_chunk().await.expect("the body is whole")
    }

    /// More bytes, `Ok(None)` at the body's end.
    pub async fn try_chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            match within(LIMIT, "more of the body", self.body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole of what is left. A reply that says nothing but that it is still there has a limit too.
    pub async fn whole(mut self) -> Answer {
        let mut body = std::mem::take(&mut self.buffer);
        let read = async {
            while let Some(chunk) = self.chunk().await {
                body.extend_from_slice(&chunk);
            }
        };
        within(2 * LIMIT, "the whole of the body", read).await;
        Answer {
            status: self.status,
            headers: self.headers,
            body: body.freeze(),
        }
    }

    /// The next line that is not blank, as JSON; `None` at the end.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if !line.trim_ascii().is_empty() {
                    return Some(serde_json::from_slice(&line).expect("a line is JSON"));
                }
            }
            let Some(chunk) = self.chunk().await else {
                assert!(
                    self.buffer.is_empty(),
                    "the last line has no end: {:?}",
                    self.buffer
                );
                return None;
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// All lines to the end.
    pub async fn lines(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    /// The next SSE event that has data; `None` at the end.
    pub async fn event(&mut self) -> Option<Event> {
        let event = self.try_event().await.expect("the body is whole");
        assert!(
            event.is_some() || self.buffer.is_empty(),
            "the last event has no end: {:?}",
            self.buffer
        );
        event
    }

    /// The same where the connection may break.
    pub async fn try_event(&mut self) -> Result<Option<Event>, hyper::Error> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block = self.buffer.split_to(end);
                self.buffer.advance(2);
                if let Some(event) = Event::parse(str::from_utf8(&block).expect("events are UTF-8"))
                {
                    return Ok(Some(event));
                }
            }
            let Some(chunk) = self.try_chunk().await? else {
                return Ok(None);
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next event that is no `progress`.
    pub async fn event_but_progress(&mut self) -> Option<Event> {
        loop {
            match self.event().await {
                Some(event) if event.name == "progress" => {}
                other => return other,
            }
        }
    }

    /// All events to the end.
    pub async fn events(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

/// One SSE event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The `event:` field, `message` without one.
    pub name: String,
    /// The `id:` field.
    pub id: Option<String>,
    /// The data as JSON.
    pub data: Value,
}

impl Event {
    /// `None` for a block without data: a comment, `retry:`.
    fn parse(block: &str) -> Option<Self> {
        let (mut name, mut id, mut data) = ("message".to_owned(), None, Vec::new());
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => name = value.to_owned(),
                "id" => id = Some(value.to_owned()),
                "data" => data.push(value),
                "" | "retry" => {}
                other => panic!("an unknown field {other} in the event\n{block}"),
            }
        }
        (!data.is_empty()).then(|| {
            let data = data.join("\n");
            let data = serde_json::from_str(&data)
                .unwrap_or_else(|error| panic!("{error}: the data is JSON: {data}"));
            Self { name, id, data }
        })
    }
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON, whatever the status.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.text()))
    }

    /// The body of a 200, as JSON.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The problem that the answer must be: status and code as asked, and all that section 6 promises of a problem.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "expected {code}: {}", self.text());
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text()
        );
        let problem = self.json();
        check_problem(&problem, status, code);
        assert_eq!(
            problem["request_id"],
            self.header("x-request-id"),
            "{problem}"
        );
        assert_ne!(self.header("x-request-id"), "");
        problem
    }
}

/// Fails the test unless `problem` is a whole problem object of that status and code.
#[track_caller]
pub fn check_problem(problem: &Value, status: u16, code: &str) {
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(
        problem["type"],
        format!("https://extractd.dev/problems/{}", code.replace('_', "-")),
        "{problem}"
    );
    for field in ["title", "detail", "request_id"] {
        assert!(
            problem[field]
                .as_str()
                .is_some_and(|text| !text.trim().is_empty()),
            "{field} says something: {problem}"
        );
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
        let pointer = error["pointer"]
            .as_str()
            .unwrap_or_else(|| panic!("each error has its pointer: {problem}"));
        assert!(
            pointer.is_empty() || pointer.starts_with('/'),
            "{pointer:?} is a JSON pointer: {problem}"
        );
    }
}

/// Fails the test unless one of the problem's errors points at `pointer`.
#[track_caller]
pub fn check_pointer(problem: &Value, pointer: &str) {
    let mut errors = problem["errors"].as_array().into_iter().flatten();
    assert!(
        errors.any(|error| error["pointer"] == pointer),
        "{pointer:?} is among the errors: {problem}"
    );
}
