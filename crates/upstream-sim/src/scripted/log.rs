//! Log of the scripted provider.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use crate::chat::ChatRequest;

/// End of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its answer was written to the last byte that the script wanted.
    Answered,
    /// The client went away first.
    Aborted,
    /// The script broke it off.
    Broken,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its place in the order of arrival, from 0.
    pub index: usize,
    /// Time at which the last byte of the request was read.
    pub arrived: Instant,
    /// The same by the wall clock, for `Retry-After` dates.
    pub arrived_at: SystemTime,
    /// Method and path, `POST /v1/chat/completions`.
    pub target: String,
    headers: Vec<(String, String)>,
    raw: Bytes,
    /// Time and kind of the end; `None` while the call is in flight.
    pub ended: Option<(Instant, Ending)>,
}

impl Call {
    pub(super) fn new(index: usize, request: &crate::wire::Request) -> Self {
        Self {
            index,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            target: format!("{} {}", request.method(), request.path()),
            headers: request
                .headers()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            raw: request.body.clone(),
            ended: None,
        }
    }

    pub(super) fn lighten(&mut self) {
        self.headers = Vec::new();
        self.raw = Bytes::new();
    }

    /// Returns the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the request's body.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.raw).expect("the call's body is JSON")
    }

    /// Returns the size of the request's body.
    pub fn size_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Returns the prompt as text: the contents of all messages, joined by newlines.
    pub fn prompt(&self) -> String {
        let body = self.body();
        let messages = body["messages"].as_array().expect("messages is an array");
        let contents = messages.iter().map(|message| match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect::<Vec<_>>()
                .join("\n"),
            other => other.to_string(),
        });
        contents.collect::<Vec<_>>().join("\n")
    }

    /// Returns the number N of the item whose input carries `item-N`, see `fixture::person`; the last one in the user's messages.
    pub fn item(&self) -> Option<usize> {
        let question = ChatRequest::parse(&self.raw).ok()?;
        question.user_texts().find_map(|text| {
            let (_, after) = text.rsplit_once("item-")?;
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            after[..digits].parse().ok()
        })
    }

    /// Returns the schema that it sent in `response_format` or as a tool's parameters.
    pub fn schema(&self) -> Option<Value> {
        ChatRequest::parse(&self.raw)
            .ok()?
            .schema()
            .and_then(|schema| serde_json::from_str(schema).ok())
    }

    pub(super) fn raw(&self) -> Bytes {
        self.raw.clone()
    }

    /// Returns true if the call ended this way.
    pub fn is(&self, ending: Ending) -> bool {
        self.ended.is_some_and(|(_, how)| how == ending)
    }

    /// Returns the time of the end.
    pub fn ended_at(&self) -> Instant {
        self.ended.expect("the call has ended").0
    }
}

/// Everything seen, calls in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All calls.
    pub calls: Vec<Call>,
    /// Calls being answered now.
    pub in_flight: usize,
    /// The most that were ever being answered at one time.
    pub max_in_flight: usize,
    /// Calls whose client went away.
    pub aborted: usize,
    /// Calls answered whole.
    pub answered: usize,
}

impl Log {
    /// Returns the arrival times.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.calls.iter().map(|call| call.arrived).collect()
    }

    /// Returns the item numbers in the order of arrival.
    pub fn items(&self) -> Vec<usize> {
        self.calls
            .iter()
            .map(|call| call.item().expect("the call is for a numbered item"))
            .collect()
    }
}
