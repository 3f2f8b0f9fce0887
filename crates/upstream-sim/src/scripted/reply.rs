//! Replies of a script.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

/// Reply to a call.
pub enum Reply {
    /// A completion as the simulated model gives it.
    Played,
    /// A completion whose answer is this value.
    Json(Value),
    /// A completion whose answer is this text.
    Text(String),
    /// As `Text`, with its usage: input and output tokens.
    Used(String, u64, u64),
    /// This text, cut by the output limit: `finish_reason: length`.
    Truncated(String),
    /// The model declines in these words.
    Refusal(String),
    /// Another response: status, headers, body.
    Status(u16, Vec<(String, String)>, String),
    /// An answer in these pieces as a stream, each once the gate lets it through; then the end mark, or without it the end of the
    /// connection.
    Streamed(Vec<String>, Gate, bool),
    /// The connection is reset before the first byte of an answer.
    Reset,
    /// The connection closes after half of the answer.
    CutBody,
    /// The head goes out at once, the body after this time.
    SlowBody(Duration),
    /// A page of HTML with status 200.
    WrongContentType,
    /// These bytes for a response, as they are.
    Raw(Vec<u8>),
    /// The same, and then the connection closes.
    RawCut(Vec<u8>),
    /// These bytes, and then those again and again until the client has had enough.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing, until the client gives up.
    Stall,
    /// The reply after a time.
    Delay(Duration, Box<Reply>),
    /// The reply once the gate lets it through.
    Gate(Gate, Box<Reply>),
}

impl Reply {
    /// Returns an error with a body in OpenAI's form.
    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"error": {"message": message, "type": "simulated", "param": null, "code": null}});
        Self::Status(status, Vec::new(), body.to_string())
    }

    /// Adds a header to the reply.
    pub fn with_header(self, name: &str, value: impl ToString) -> Self {
        let Self::Status(status, mut headers, body) = self else {
            panic!("only a Status takes headers")
        };
        headers.push((name.to_owned(), value.to_string()));
        Self::Status(status, headers, body)
    }

    /// Delays the reply by `time`.
    pub fn after(self, time: Duration) -> Self {
        Self::Delay(time, Box::new(self))
    }

    /// Delays the reply until `gate` lets it through.
    pub fn behind(self, gate: &Gate) -> Self {
        Self::Gate(gate.clone(), Box::new(self))
    }
}

/// Holds calls back until the test lets them go.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// Returns a closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Returns an open gate.
    pub fn open_from_the_start() -> Self {
        let gate = Self::closed();
        gate.open();
        gate
    }

    /// Lets so many calls through, waiting or to come.
    pub fn let_through(&self, calls: usize) {
        self.0.add_permits(calls);
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.close();
    }

    pub(super) async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}
