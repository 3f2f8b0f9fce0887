//! Requests to the HTTP API, independent of how they are sent.

use std::future::Future;

use http::{Extensions, HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

/// Sender of requests to the HTTP API.
pub trait Api: Clone + Send + Sync + 'static {
    /// Sends a request. An error says why there is no reply.
    fn send(
        &self,
        request: ApiRequest,
    ) -> impl Future<Output = Result<ApiReply, String>> + Send + '_;
}

/// Request to the HTTP API.
#[derive(Debug)]
pub struct ApiRequest {
    pub method: Method,
    /// Path and query, such as `/v1/jobs?limit=10`.
    pub path: String,
    /// Headers beside those of a JSON body.
    pub headers: HeaderMap,
    /// Extensions of the MCP request over HTTP.
    pub extensions: Extensions,
    /// JSON body. `None`: no body.
    pub body: Option<Value>,
}

impl ApiRequest {
    /// Returns a request for a view.
    #[must_use]
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            body: None,
        }
    }

    /// Returns a request with a JSON body.
    #[must_use]
    pub fn post(path: &str, body: Value) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            body: Some(body),
        }
    }
}

/// Reply of the HTTP API.
#[derive(Debug)]
pub struct ApiReply {
    pub status: StatusCode,
    /// JSON body: what was asked for, or a problem.
    pub body: Value,
    /// Text of a result for an assistant: the body as it was sent, or what the problem says.
    pub text: String,
}

impl ApiReply {
    /// Parses a reply. For a large one, this is all the work on its text.
    ///
    /// # Errors
    /// If the body is not JSON.
    pub fn parse(status: StatusCode, body: Vec<u8>) -> serde_json::Result<Self> {
        let value = serde_json::from_slice(&body)?;
        let text = if status.is_success() {
            String::from_utf8(body).map_err(serde_json::Error::custom)?
        } else {
            message(status, &value)
        };
        let body = value;
        Ok(Self { status, body, text })
    }

    /// Returns true if the request succeeded.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

/// Returns what a problem says: its detail, its code, and each field that is wrong.
fn message(status: StatusCode, body: &Value) -> String {
    let problem = Problem::deserialize(body).unwrap_or_default();
    let mut lines = vec![match (problem.detail.as_str(), problem.code.as_str()) {
        ("", _) => format!("the server answered {status}"),
        (detail, "") => detail.to_owned(),
        (detail, code) => format!("{detail} ({code})"),
    }];
    let errors = problem.errors.iter();
    lines.extend(errors.map(|error| format!("{}: {}", error.pointer, error.message)));
    lines.join("\n")
}

/// Fields of a problem that an assistant reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    code: String,
    errors: Vec<FieldProblem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FieldProblem {
    pointer: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_of_a_reply_is_its_body_or_what_its_problem_says() {
        let sent = br#"{"data":   1.50}"#;
        let reply = ApiReply::parse(StatusCode::OK, sent.to_vec()).unwrap();
        assert_eq!(
            (reply.body, reply.text.as_bytes()),
            (serde_json::from_slice(sent).unwrap(), &sent[..])
        );
        let problem =
            json!({"detail": "no", "code": "c", "errors": [{"pointer": "/a", "message": "b"}]});
        let problem = problem.to_string().into_bytes();
        let reply = ApiReply::parse(StatusCode::NOT_FOUND, problem).unwrap();
        assert_eq!(reply.text, "no (c)\n/a: b");
        assert!(ApiReply::parse(StatusCode::OK, b"<html>".to_vec()).is_err());
    }
}
