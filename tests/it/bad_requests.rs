//! Each kind of bad request gets a clear 4xx: a whole problem with the right status and code, the pointer of what is wrong, and
//! nobody is called (contract, conventions and section 6).

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

    /// A single whose body is JSON, wrong at `pointer`.
    fn single(what: &'static str, more: Value, pointer: &'static str) -> Self {
        let body = fixture::with(fixture::single("Ada"), more).to_string();
        Self::new(what, EXTRACT, body, 422, "invalid_request").at(pointer)
    }

    /// A batch whose body is JSON, wrong at `pointer`.
    fn batch(what: &'static str, more: Value, pointer: &'static str) -> Self {
        let body = fixture::with(fixture::batch(5), more).to_string();
        Self::new(what, BATCH, body, 422, "invalid_request").at(pointer)
    }

    /// A single whose schema is refused.
    fn schema(what: &'static str, schema: Value, pointer: &'static str) -> Self {
        let body = json!({"input": "Ada", "schema": schema}).to_string();
        Self::new(what, EXTRACT, body, 422, "invalid_schema").at(pointer)
    }

    fn at(mut self, pointer: &'static str) -> Self {
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

#[tokio::test]
async fn invalid_requests_are_rejected_before_the_handler() {
    let body = fixture::single("Ada").to_string();
    let upload = |query: &str| format!("{BATCH}?{query}");
    check(
        vec![
            Bad::new(
                "no such path",
                "/v1/extrakt",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new(
                "no such version",
                "/v2/extract",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new(
                "a path below",
                "/v1/extract/one",
                body.clone(),
                404,
                "not_found",
            ),
            Bad::new("GET of an action", EXTRACT, "", 405, "method_not_allowed")
                .method(Method::GET)
                .content_type(None),
            Bad::new(
                "PUT of an action",
                EXTRACT,
                body.clone(),
                405,
                "method_not_allowed",
            )
            .method(Method::PUT),
            Bad::new("DELETE of a batch", BATCH, "", 405, "method_not_allowed")
                .method(Method::DELETE)
                .content_type(None),
            Bad::new(
                "POST of a view",
                "/v1/limits",
                "{}",
                405,
                "method_not_allowed",
            ),
            Bad::new(
                "the method comes before the type",
                EXTRACT,
                body.clone(),
                405,
                "method_not_allowed",
            )
            .method(Method::PATCH)
            .content_type(Some("text/plain")),
            Bad::new(
                "no content type",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(None),
            Bad::new(
                "plain text",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "a form, as curl -d sends it",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("application/x-www-form-urlencoded")),
            Bad::new(
                "NDJSON to a single",
                EXTRACT,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("application/x-ndjson")),
            Bad::new(
                "a type that is no type",
                BATCH,
                body.clone(),
                415,
                "unsupported_media_type",
            )
            .content_type(Some("json")),
            Bad::new(
                "the type comes before the body",
                EXTRACT,
                "{",
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "an unknown query parameter",
                "/v1/extract?verbose=1",
                body.clone(),
                422,
                "invalid_request",
            )
            .at("/verbose"),
            Bad::new(
                "an unknown query parameter of a batch",
                "/v1/extract/batch?verbose=1",
                fixture::batch(1).to_string(),
                422,
                "invalid_request",
            )
            .at("/verbose"),
            Bad::new(
                "the spec in the query of a JSON batch",
                "/v1/extract/batch?concurrency=2",
                fixture::batch(1).to_string(),
                422,
                "invalid_request",
            )
            .at("/concurrency"),
            Bad::new(
                "an unknown query parameter of a view",
                "/v1/models?verbose=1",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at("/verbose"),
            Bad::new(
                "NDJSON without a schema",
                &upload("mode=text"),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at("/schema"),
            Bad::new(
                "NDJSON with a schema that is not JSON",
                &upload("schema=%7B"),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .or(422, "invalid_schema")
            .content_type(Some("application/x-ndjson"))
            .at("/schema"),
            Bad::new(
                "NDJSON with a schema that is none",
                &upload("schema=%7B%22type%22%3A%22objekt%22%7D"),
                "\"Ada\"\n",
                422,
                "invalid_schema",
            )
            .content_type(Some("application/x-ndjson"))
            .at("/schema/type"),
            Bad::new(
                "NDJSON with inputs in the query",
                &upload(&format!("{}&inputs=%5B%5D", schema_query())),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at("/inputs"),
            Bad::new(
                "NDJSON with a parameter twice",
                &upload(&format!("{}&seed=1&seed=2", schema_query())),
                "\"Ada\"\n",
                422,
                "invalid_request",
            )
            .content_type(Some("application/x-ndjson"))
            .at("/seed"),
        ],
        23,
    )
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_json_are_rejected() {
    let invalid = |what, body: &[u8]| Bad::new(what, EXTRACT, body, 400, "invalid_json");
    let deep = format!("{{\"input\": {}", "[".repeat(200_000));
    check(
        vec![
            invalid("nothing", b""),
            invalid("white space", b" \n "),
            invalid("a word", b"hello"),
            invalid("cut off", b"{\"input\": \"Ada\", \"schema\": {").says(&["line 1", "column"]),
            invalid(
                "a missing comma on line 3",
                b"{\n  \"input\": \"Ada\"\n  \"schema\": {}\n}",
            )
            .says(&["line 3", "column 3"]),
            invalid("a trailing comma", b"{\"input\": \"Ada\",}").says(&["line 1", "column 17"]),
            invalid("single quotes", b"{'input': 'Ada'}"),
            invalid("a comment", b"{\"input\": \"Ada\" /* who */}"),
            invalid(
                "something after it",
                b"{\"input\": \"Ada\", \"schema\": {}} {}",
            ),
            invalid(
                "invalid UTF-8",
                b"{\"input\": \"\xff\xfe\", \"schema\": {}}",
            ),
            invalid(
                "a raw newline in a string",
                b"{\"input\": \"A\nda\", \"schema\": {}}",
            )
            .says(&["line 2"]),
            invalid(
                "NaN",
                b"{\"input\": \"Ada\", \"schema\": {}, \"temperature\": NaN}",
            ),
            invalid(
                "a number beyond all",
                b"{\"input\": \"Ada\", \"schema\": {}, \"temperature\": 1e999}",
            )
            .or(422, "invalid_request"),
            invalid("a depth bomb", deep.as_bytes()),
            Bad::new(
                "a batch cut off",
                BATCH,
                "{\"inputs\": [\"a\", ",
                400,
                "invalid_json",
            )
            .says(&["line 1"]),
        ],
        15,
    )
    .await;
}

#[tokio::test]
async fn invalid_fields_of_a_single_are_rejected_with_their_pointer() {
    let bare = |what, body: Value, pointer| {
        Bad::new(what, EXTRACT, body.to_string(), 422, "invalid_request").at(pointer)
    };
    check(
        vec![
            bare("an array", json!([]), ""),
            bare("a string", json!("Ada"), ""),
            bare("null", json!(null), ""),
            bare("no input", json!({"schema": {}}), "/input"),
            bare("no schema", json!({"input": "Ada"}), "/schema"),
            bare("an empty object", json!({}), ""),
            Bad::single("a misspelt field", json!({"shema": {}}), "/shema").says(&["shema"]),
            Bad::single("a batch's field", json!({"concurrency": 2}), "/concurrency"),
            Bad::single("inputs", json!({"inputs": ["Ada"]}), "/inputs"),
            Bad::single("an unknown way to fail", json!({"on_failure": "worst"}), "/on_failure"),
            Bad::single("a coercion that is no boolean", json!({"coerce": "yes"}), "/coerce"),
            Bad::single("a rule without a message", json!({"rules": [{"expression": "true"}]}), "/rules/0/message"),
            Bad::single("a number as input", json!({"input": 7}), "/input"),
            Bad::single("null as input", json!({"input": null}), "/input"),
            Bad::single("an object as input", json!({"input": {"text": "Ada"}}), "/input"),
            Bad::single("a part that is no object", json!({"input": ["Ada"]}), "/input/0"),
            Bad::single("a part of an unknown type", json!({"input": [{"type": "smell", "text": "roses"}]}), "/input/0/type"),
            Bad::single("a part without text", json!({"input": [{"type": "text"}]}), "/input/0/text"),
            Bad::single(
                "a part with an unknown field",
                json!({"input": [{"type": "text", "text": "a", "lang": "en"}]}),
                "/input/0/lang",
            ),
            Bad::single("a number as schema", json!({"schema": 7}), "/schema"),
            Bad::single("null as schema", json!({"schema": null}), "/schema"),
            Bad::single("an unknown schema's name", json!({"schema": "nobody-registered-this"}), "/schema")
                .says(&["nobody-registered-this"]),
            Bad::single("instructions that are no text", json!({"instructions": ["a"]}), "/instructions"),
            Bad::single("examples that are no array", json!({"examples": {}}), "/examples"),
            Bad::single("an example without output", json!({"examples": [{"input": "a"}]}), "/examples/0/output"),
            Bad::single(
                "an example with more",
                json!({"examples": [{"input": "a", "output": fixture::right(), "why": "b"}]}),
                "/examples/0/why",
            ),
            Bad::single(
                "an example that is invalid",
                json!({"examples": [{"input": "a", "output": fixture::right()}, {"input": "b", "output": fixture::wrong()}]}),
                "/examples/1/output/age",
            ),
            Bad::single("an unknown model", json!({"model": "nobody/nothing"}), "/model").says(&["nobody/nothing"]),
            Bad::single("a model that is no text", json!({"model": 4}), "/model"),
            Bad::single("an unknown mode", json!({"mode": "magic"}), "/mode").says(&["json_schema", "tools"]),
            Bad::single("no attempt", json!({"max_attempts": 0}), "/max_attempts"),
            Bad::single("too many attempts", json!({"max_attempts": 11}), "/max_attempts"),
            Bad::single("half an attempt", json!({"max_attempts": 1.5}), "/max_attempts"),
            Bad::single("attempts as text", json!({"max_attempts": "3"}), "/max_attempts"),
            Bad::single("no time", json!({"timeout_ms": 0}), "/timeout_ms"),
            Bad::single("too much time", json!({"timeout_ms": 3_600_001}), "/timeout_ms"),
            Bad::single("negative time", json!({"timeout_ms": -5}), "/timeout_ms"),
            Bad::single("too cold", json!({"temperature": -0.1}), "/temperature"),
            Bad::single("too hot", json!({"temperature": 2.1}), "/temperature"),
            Bad::single("no room", json!({"max_output_tokens": 0}), "/max_output_tokens"),
            Bad::single("a seed that is no integer", json!({"seed": 0.5}), "/seed"),
            Bad::single("metadata that is no object", json!({"metadata": "x"}), "/metadata"),
            Bad::single("metadata of numbers", json!({"metadata": {"a": 1}}), "/metadata/a"),
            Bad::single("stream as text", json!({"stream": "yes"}), "/stream"),
            Bad::new("a field twice", EXTRACT, r#"{"input": "a", "input": "b", "schema": {}}"#, 422, "invalid_request")
                .or(400, "invalid_json")
                .says(&["input"]),
        ],
        43,
    )
    .await;
}

#[tokio::test]
async fn invalid_fields_of_a_batch_are_rejected_with_their_pointer() {
    let input = |what, index: usize, input: Value, pointer| {
        let mut inputs = vec![json!("a"); 5];
        inputs[index] = input;
        Bad::batch(what, json!({"inputs": inputs}), pointer)
    };
    check(
        vec![
            Bad::new(
                "no inputs",
                BATCH,
                json!({"schema": {}}).to_string(),
                422,
                "invalid_request",
            )
            .at("/inputs"),
            Bad::batch("a single's input", json!({"input": "Ada"}), "/input"),
            Bad::batch(
                "inputs that are no array",
                json!({"inputs": "Ada"}),
                "/inputs",
            ),
            input("a number", 3, json!(17), "/inputs/3"),
            input("null", 0, json!(null), "/inputs/0"),
            input(
                "an item without input",
                2,
                json!({"id": "x"}),
                "/inputs/2/input",
            ),
            input(
                "an item's input of the wrong type",
                2,
                json!({"input": false}),
                "/inputs/2/input",
            ),
            input(
                "an item with an unknown field",
                4,
                json!({"input": "a", "idd": "x"}),
                "/inputs/4/idd",
            ),
            input(
                "an id that is no text",
                1,
                json!({"input": "a", "id": 7}),
                "/inputs/1/id",
            ),
            input(
                "an id that is too long",
                1,
                json!({"input": "a", "id": "x".repeat(256)}),
                "/inputs/1/id",
            ),
            input(
                "an item's metadata of numbers",
                1,
                json!({"input": "a", "metadata": {"k": 1}}),
                "/inputs/1/metadata/k",
            ),
            input(
                "a part of an unknown type",
                1,
                json!([{"type": "smell"}]),
                "/inputs/1/0/type",
            ),
            Bad::batch("no concurrency", json!({"concurrency": 0}), "/concurrency"),
            Bad::batch(
                "negative concurrency",
                json!({"concurrency": -1}),
                "/concurrency",
            ),
            Bad::batch(
                "an unknown on_error",
                json!({"on_error": "explode"}),
                "/on_error",
            )
            .says(&["continue", "stop"]),
            Bad::batch("stream as number", json!({"stream": 1}), "/stream"),
            Bad::batch(
                "an unknown schema's name",
                json!({"schema": "nobody-registered-this"}),
                "/schema",
            ),
            Bad::batch(
                "a job's field",
                json!({"webhook": {"url": "http://localhost/"}}),
                "/webhook",
            ),
        ],
        18,
    )
    .await;
}

/// `levels` of references, each twice to the next: a validator that follows them all takes 2^levels steps.
fn fan_out(levels: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
        definitions.insert(format!("l{level}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert(
        format!("l{levels}"),
        json!({"type": "string", "const": "never"}),
    );
    json!({"$ref": "#/$defs/l0", "$defs": definitions})
}

fn nested(depth: usize) -> String {
    format!("{}{{}}{}", "{\"items\":".repeat(depth), "}".repeat(depth))
}

#[tokio::test]
async fn invalid_schemas_are_rejected_with_their_pointer() {
    let raw = |what, schema: &str| {
        Bad::new(
            what,
            EXTRACT,
            format!("{{\"input\": \"Ada\", \"schema\": {schema}}}"),
            422,
            "invalid_schema",
        )
    };
    let property = |schema: Value| json!({"type": "object", "properties": {"age": schema}});
    check(
        vec![
            Bad::schema("an unknown type", json!({"type": "objekt"}), "/schema/type"),
            Bad::schema("an unknown type deep inside", property(json!({"type": "int"})), "/schema/properties/age/type"),
            Bad::schema("a type that is a number", json!({"type": 3}), "/schema/type"),
            Bad::schema("properties that are an array", json!({"properties": []}), "/schema/properties"),
            Bad::schema("a property that is a number", property(json!(7)), "/schema/properties/age"),
            Bad::schema("required that is text", json!({"required": "age"}), "/schema/required"),
            Bad::schema("an empty anyOf", json!({"anyOf": []}), "/schema/anyOf"),
            Bad::schema(
                "a negative length",
                property(json!({"type": "string", "minLength": -1})),
                "/schema/properties/age/minLength",
            ),
            Bad::schema("a pattern that is none", property(json!({"pattern": "(["})), "/schema/properties/age/pattern"),
            Bad::schema("a pattern of patternProperties", json!({"patternProperties": {"([": {}}}), ""),
            Bad::schema(
                "a pattern that grows beyond bounds",
                property(json!({"pattern": "((a{999}){999}){999}"})),
                "/schema/properties/age/pattern",
            ),
            Bad::schema(
                "a remote reference",
                property(json!({"$ref": "https://example.com/schema.json"})),
                "/schema/properties/age/$ref",
            ),
            Bad::schema("a reference to a file", property(json!({"$ref": "file:///etc/passwd"})), "/schema/properties/age/$ref"),
            Bad::schema("a relative reference", property(json!({"$ref": "other.json"})), "/schema/properties/age/$ref"),
            Bad::schema("a reference to nothing", property(json!({"$ref": "#/$defs/none"})), "/schema/properties/age/$ref"),
            Bad::schema("a reference to itself", json!({"$ref": "#"}), "/schema/$ref"),
            Bad::schema(
                "a ring of references",
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
                "",
            ),
            Bad::schema(
                "a ring through anyOf",
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}),
                "",
            ),
            Bad::schema("references that fan out", fan_out(30), ""),
            raw("too deep", &nested(2_000)).or(400, "invalid_json"),
            raw("too deep for a stack", &nested(100_000)).or(400, "invalid_json"),
            Bad::schema("an enum without end", json!({"enum": (0..1_000_000).collect::<Vec<_>>()}), ""),
            Bad::schema(
                "200,000 properties",
                json!({"properties": (0..200_000).map(|n| (format!("p{n}"), json!({}))).collect::<serde_json::Map<_, _>>()}),
                "",
            ),
        ],
        23,
    )
    .await;
}

#[tokio::test]
async fn invalid_requests_for_registered_schemas_are_rejected() {
    let schema = fixture::schema().to_string();
    let put = |what, name: &str, body: &str, status, code| {
        Bad::new(what, &format!("/v1/schemas/{name}"), body, status, code).method(Method::PUT)
    };
    check(
        vec![
            put(
                "a name in capitals",
                "Person",
                &schema,
                422,
                "invalid_request",
            ),
            put(
                "a name that begins with a dash",
                "-person",
                &schema,
                422,
                "invalid_request",
            ),
            put(
                "a name that is too long",
                &"p".repeat(65),
                &schema,
                422,
                "invalid_request",
            ),
            put("a name with a dot", "a.b", &schema, 422, "invalid_request"),
            put(
                "a schema that is none",
                "person",
                "{\"type\": \"objekt\"}",
                422,
                "invalid_schema",
            )
            .at("/type"),
            put(
                "a schema that is not JSON",
                "person",
                "{",
                400,
                "invalid_json",
            ),
            put(
                "a schema as text",
                "person",
                &schema,
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "an unknown schema",
                "/v1/schemas/nobody",
                "",
                404,
                "not_found",
            )
            .method(Method::GET)
            .content_type(None),
            Bad::new(
                "an unknown schema to delete",
                "/v1/schemas/nobody",
                "",
                404,
                "not_found",
            )
            .method(Method::DELETE)
            .content_type(None),
            Bad::new(
                "POST to a schema",
                "/v1/schemas/person",
                schema.clone(),
                405,
                "method_not_allowed",
            ),
            Bad::new(
                "an unknown query parameter",
                "/v1/schemas?page=2",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at("/page"),
            Bad::new(
                "a limit of nothing",
                "/v1/schemas?limit=0",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at("/limit"),
            Bad::new(
                "a limit beyond",
                "/v1/schemas?limit=1001",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at("/limit"),
        ],
        13,
    )
    .await;
}

#[tokio::test]
async fn a_405_lists_the_allowed_methods() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let answer = server.get(EXTRACT).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn invalid_fields_are_reported_together_where_possible() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = fixture::with(
        fixture::single("Ada"),
        json!({"max_attempts": 0, "mode": "magic"}),
    );
    let problem = server.extract(&body).await.problem(422, "invalid_request");
    let errors = problem["errors"].as_array().unwrap();
    assert!(!errors.is_empty(), "{problem}");
    assert!(
        errors
            .iter()
            .all(|error| error["pointer"] == "/max_attempts" || error["pointer"] == "/mode"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_body_with_too_large_a_content_length_is_rejected_unread() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 70000000\r\nconnection: close\r\n\r\n{{",
        server.address()
    );
    let answer = server.raw(head.as_bytes(), Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("payload_too_large"), "{answer}");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_body_without_a_content_length_is_rejected_at_the_limit() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let head = format!(
        "POST /v1/extract HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        server.address()
    );
    let mut endless = head.into_bytes();
    for _ in 0..66 {
        endless.extend_from_slice(b"100000\r\n");
        endless.resize(endless.len() + 0x10_0000, b' ');
        endless.extend_from_slice(b"\r\n");
    }
    let answer = server.raw(&endless, Duration::from_secs(10)).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"),
        "{answer}"
    );
}

#[tokio::test]
async fn malformed_http_gets_a_4xx_or_a_closed_connection() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let long_header = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\nx-long: {}\r\n\r\n",
        server.address(),
        "a".repeat(2_000_000)
    );
    let many_headers = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\n{}\r\n",
        server.address(),
        "x: y\r\n".repeat(20_000)
    );
    for bytes in [
        "hello\r\n\r\n",
        "POST /v1/extract HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        &long_header,
        &many_headers,
    ] {
        let answer = server.raw(bytes.as_bytes(), Duration::from_secs(5)).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(server.get("/healthz").await.status, 200, "it still answers");
}
