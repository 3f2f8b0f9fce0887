//! Response of the server under test: its events, lines and complete body, and checks of problems.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::wait::{LIMIT, within};

/// Closes the connection when dropped.
pub struct Connection(pub JoinHandle<()>);

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
    pub body: Incoming,
    pub buffer: BytesMut,
    pub _connection: Connection,
}

impl Response {
    /// Fails the test when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.headers);
        self
    }

    /// Returns a header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Reads more bytes; `None` at the body's end. Fails the test when the body breaks off.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.try_chunk().await.expect("the body is whole")
    }

    /// Reads more bytes; `Ok(None)` at the body's end.
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

    /// Returns the whole of what is left. A reply that says nothing but that it is still there has a limit too.
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

    /// Returns the next line that is not blank, as JSON; `None` at the end.
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

    /// Returns all lines to the end.
    pub async fn lines(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    /// Returns the next SSE event that has data; `None` at the end.
    pub async fn event(&mut self) -> Option<Event> {
        let event = self.try_event().await.expect("the body is whole");
        assert!(
            event.is_some() || self.buffer.is_empty(),
            "the last event has no end: {:?}",
            self.buffer
        );
        event
    }

    /// Reads the next event; the connection may break.
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

    /// Returns the next event that is no `progress`.
    pub async fn event_but_progress(&mut self) -> Option<Event> {
        loop {
            match self.event().await {
                Some(event) if event.name == "progress" => {}
                other => return other,
            }
        }
    }

    /// Returns all events to the end.
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
    /// Parses a block. `None`: it has no data, as a comment or `retry:`.
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
    /// Returns a header as text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the body as text.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// Returns the body as JSON, whatever the status.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.status, self.text()))
    }

    /// Returns the body of a 200, as JSON.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Returns the problem that the answer must be: status and code as asked, and all that section 6 promises of a problem.
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
