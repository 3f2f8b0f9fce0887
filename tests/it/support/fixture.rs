//! Texts, schemas and bodies that many tests use.

use serde_json::{Value, json};

/// The seven people of the article, each with name, age and occupation.
pub const PEOPLE: [(&str, &str, u64, &str); 7] = [
    (
        "John Smith is a 30-year-old software engineer",
        "John Smith",
        30,
        "software engineer",
    ),
    (
        "Sarah Johnson is a 25-year-old data scientist",
        "Sarah Johnson",
        25,
        "data scientist",
    ),
    (
        "Mike Davis is a 35-year-old product manager",
        "Mike Davis",
        35,
        "product manager",
    ),
    (
        "Lisa Wilson is a 28-year-old UX designer",
        "Lisa Wilson",
        28,
        "UX designer",
    ),
    (
        "Tom Brown is a 32-year-old DevOps engineer",
        "Tom Brown",
        32,
        "DevOps engineer",
    ),
    (
        "Emma Garcia is a 27-year-old frontend developer",
        "Emma Garcia",
        27,
        "frontend developer",
    ),
    (
        "David Lee is a 33-year-old backend developer",
        "David Lee",
        33,
        "backend developer",
    ),
];

/// Returns the contract's schema.
pub fn schema() -> Value {
    json!({"title": "Person", "type": "object",
           "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
           "required": ["name", "age", "occupation"], "additionalProperties": false})
}

/// Returns a text about a person that carries its number where the upstream's log finds it.
pub fn person(number: usize) -> String {
    format!(
        "[item-{number}] Ada Byron is a {}-year-old tester of part {number}",
        age(number)
    )
}

/// Returns the result of the simulated model for `person(number)`.
pub fn found(number: usize) -> Value {
    json!({"name": "Ada Byron", "age": age(number), "occupation": format!("tester of part {number}")})
}

fn age(number: usize) -> usize {
    20 + number % 60
}

/// Returns a body for `/v1/extract`.
pub fn single(input: impl Into<Value>) -> Value {
    json!({"input": input.into(), "schema": schema()})
}

/// Returns a body for `/v1/extract/batch` of `person(0)` to `person(count - 1)`.
pub fn batch(count: usize) -> Value {
    json!({"inputs": (0..count).map(person).collect::<Vec<_>>(), "schema": schema()})
}

/// Returns `body` with the fields of `more`.
pub fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("the fields are an object")
    };
    body.as_object_mut()
        .expect("the body is an object")
        .extend(more);
    body
}

/// Returns an answer of the model that is invalid: the age is a string.
pub fn wrong() -> Value {
    json!({"name": "Ada Byron", "age": "many", "occupation": "tester"})
}

/// Returns a valid answer of the model.
pub fn right() -> Value {
    json!({"name": "Ada Byron", "age": 36, "occupation": "tester"})
}

/// Returns the spec's schema as a query parameter.
pub fn schema_query() -> String {
    format!("schema={}", encoded(&schema().to_string()))
}

/// Returns the text as it stands in a query.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Fails the test unless there is exactly one result for each index below `count`.
#[track_caller]
pub fn check_each_once<'a>(results: impl IntoIterator<Item = &'a Value>, count: usize) {
    let mut seen = vec![0; count];
    for result in results {
        let index = result["index"]
            .as_u64()
            .unwrap_or_else(|| panic!("an index: {result}"));
        seen[usize::try_from(index).unwrap()] += 1;
    }
    let wrong: Vec<_> = seen
        .iter()
        .enumerate()
        .filter(|(_, times)| **times != 1)
        .take(10)
        .collect();
    assert!(
        wrong.is_empty(),
        "each index once, but (index, times): {wrong:?}"
    );
}

/// Returns `[providers.NAME]` of a server that speaks chat completions, with further lines.
pub fn provider(name: &str, url: &str, more: &str) -> String {
    format!("[providers.{name}]\nkind = \"openai\"\nbase_url = \"{url}\"\n{more}\n")
}

/// Returns `[models.NAME]` at a provider, which calls it `NAME-1`, with further lines.
pub fn model(name: &str, provider: &str, more: &str) -> String {
    format!("[models.{name}]\nprovider = \"{provider}\"\nmodel = \"{name}-1\"\n{more}\n")
}

/// Returns a configuration with one provider, and its one model as the default.
pub fn one_provider(url: &str, more: &str) -> String {
    format!(
        "model = \"main\"\n{}{}",
        provider("first", url, more),
        model("main", "first", "")
    )
}

/// Returns the body of a completion whose answer is `value`, with its usage: input and output tokens.
pub fn completion(value: &Value, (input, output): (u64, u64)) -> String {
    let message = json!({"role": "assistant", "content": value.to_string()});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    json!({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage})
        .to_string()
}

/// An address that refuses every connection, for as long as this lives.
pub struct Nobody(socket2::Socket);

impl Nobody {
    /// Takes a free port without listening on it.
    pub fn new() -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        Self(socket)
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        let address = self.0.local_addr().unwrap().as_socket().unwrap();
        format!("http://{address}/v1")
    }
}
