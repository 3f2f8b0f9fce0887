//! A small HTTP client: a connection of its own for each request, so that dropping a response is a client that goes away. Every
//! wait has a limit.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use super::response::{Answer, Event, Response, check_pointer, check_problem};
pub use super::wait::{LIMIT, eventually, within};

use super::response::Connection;

/// Client with an address and headers.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

impl Client {
    /// Returns a client of the server at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Vec::new(),
        }
    }

    /// Returns the client with one more header on each request.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Returns the client as the caller with this key.
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// Returns the address of the server.
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

    /// Sends `GET path` and reads the complete answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).answer().await
    }

    /// Sends `POST path` with a JSON body and reads the complete answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).answer().await
    }

    /// Sends `POST /v1/extract`.
    pub async fn extract(&self, body: &Value) -> Answer {
        self.post("/v1/extract", body).await
    }

    /// Sends `POST /v1/extract/batch` for an ordered response.
    pub async fn batch(&self, body: &Value) -> Answer {
        self.post("/v1/extract/batch", body).await
    }

    /// Posts JSON for an answer that is read as it comes.
    pub async fn open(&self, path: &str, accept: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .header("accept", accept)
            .json(body)
            .send()
            .await
    }

    /// Returns the first row of `GET /v1/limits` of that kind. `None`: there is none.
    pub async fn limit(&self, kind: &str) -> Option<Value> {
        let answer = self.get("/v1/limits").await;
        let limits = answer.ok()["limits"]
            .as_array()
            .expect("limits is an array")
            .clone();
        limits.into_iter().find(|limit| limit["kind"] == kind)
    }

    /// Returns the row of `GET /v1/limits` of that kind and scope (`all`, `caller:NAME`); `None` when there is none.
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

    /// Sets a JSON body with its content type.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .bytes(body.to_string())
    }

    /// Sets the body; the content type is the caller's.
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Full::new(body.into())
            .map_err(|never| match never {})
            .boxed();
        self
    }

    /// Sets an NDJSON body of these lines, with its content type.
    pub fn lines(self, lines: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let body: String = lines
            .into_iter()
            .map(|line| format!("{}\n", line.as_ref()))
            .collect();
        self.header("content-type", "application/x-ndjson")
            .bytes(body)
    }

    /// Sets a streaming body.
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

    /// Sends the request. `None`: nothing listens, or the connection breaks before the head.
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
