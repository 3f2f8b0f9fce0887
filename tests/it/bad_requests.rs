//! Each kind of bad request gets a clear 4xx: a whole problem with the right status and code, the pointer of what is wrong, and
//! nobody is called (contract, conventions and section 6).

mod fields;
mod routes_and_bodies;
mod schemas;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{Answer, check_pointer};
use crate::support::fixture::{self, schema_query};
use crate::support::server::Server;
use crate::upstream::Upstream;

const EXTRACT: &str = "/v1/extract";

const BATCH: &str = "/v1/extract/batch";

/// One kind of bad request.
struct Bad {
    what: &'static str,
    method: Method,
    path: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    /// Any of these, each with its status.
    codes: Vec<(u16, &'static str)>,
    pointer: Option<&'static str>,
    /// The problem says this somewhere.
    says: &'static [&'static str],
}

impl Bad {
    fn new(
        what: &'static str,
        path: &str,
        body: impl Into<Vec<u8>>,
        status: u16,
        code: &'static str,
    ) -> Self {
        let content_type = Some("application/json");
        Self {
            what,
            method: Method::POST,
            path: path.into(),
            content_type,
            body: body.into(),
            codes: vec![(status, code)],
            pointer: None,
            says: &[],
        }
    }

    /// Returns a single whose body is JSON, wrong at `pointer`.
    fn single(what: &'static str, more: Value, pointer: &'static str) -> Self {
        let body = fixture::with(fixture::single("Ada"), more).to_string();
        Self::new(what, EXTRACT, body, 422, "invalid_request").at_pointer(pointer)
    }

    /// Returns a batch whose body is JSON, wrong at `pointer`.
    fn batch(what: &'static str, more: Value, pointer: &'static str) -> Self {
        let body = fixture::with(fixture::batch(5), more).to_string();
        Self::new(what, BATCH, body, 422, "invalid_request").at_pointer(pointer)
    }

    /// Returns a single whose schema is refused.
    fn schema(what: &'static str, schema: Value, pointer: &'static str) -> Self {
        let body = json!({"input": "Ada", "schema": schema}).to_string();
        Self::new(what, EXTRACT, body, 422, "invalid_schema").at_pointer(pointer)
    }

    fn at_pointer(mut self, pointer: &'static str) -> Self {
        self.pointer = (!pointer.is_empty()).then_some(pointer);
        self
    }

    fn says(mut self, words: &'static [&'static str]) -> Self {
        self.says = words;
        self
    }

    fn or(mut self, status: u16, code: &'static str) -> Self {
        self.codes.push((status, code));
        self
    }

    fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn content_type(mut self, content_type: Option<&'static str>) -> Self {
        self.content_type = content_type;
        self
    }
}

/// Sends each kind and holds the answer against what is promised.
async fn check(kinds: Vec<Bad>, at_least: usize) {
    assert!(kinds.len() >= at_least, "{} kinds", kinds.len());
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for bad in kinds {
        let mut request = server
            .request(bad.method.clone(), &bad.path)
            .bytes(bad.body.clone());
        if let Some(content_type) = bad.content_type {
            request = request.header("content-type", content_type);
        }
        let begun = Instant::now();
        let answer = request.answer().await;
        check_one(&bad, &answer);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{}: took {:?}",
            bad.what,
            begun.elapsed()
        );
    }
    assert_eq!(upstream.calls(), 0, "nobody is called");
    assert_eq!(
        server
            .extract(&fixture::single(fixture::person(1)))
            .await
            .ok()["data"],
        fixture::found(1),
        "it still answers"
    );
}

fn check_one(bad: &Bad, answer: &Answer) {
    println!("{}: {} {}", bad.what, answer.status, answer.text());
    let expected = bad
        .codes
        .iter()
        .find(|(status, _)| answer.status == *status);
    let (status, code) = expected.unwrap_or_else(|| {
        panic!(
            "{}: {} is none of {:?}: {}",
            bad.what,
            answer.status,
            bad.codes,
            answer.text()
        )
    });
    let problem = answer.problem(*status, code);
    if let Some(pointer) = bad.pointer {
        check_pointer(&problem, pointer);
    }
    for words in bad.says {
        assert!(
            problem.to_string().contains(words),
            "{}: says {words:?}: {problem}",
            bad.what
        );
    }
}
