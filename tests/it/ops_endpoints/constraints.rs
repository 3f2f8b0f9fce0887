//! Constraints of the API document (lengths, ranges, patterns): the document and the server accept and reject the same requests.

use http::Method;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::fixture::{batch, encoded, schema, single, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

/// Starts a server that has the schema `person`, and returns its API document as well.
async fn documented() -> (Upstream, Server, Value) {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .config("[jobs]\nallow_private_webhooks = true")
        .start()
        .await;
    let stored = server
        .request(Method::PUT, "/v1/schemas/person")
        .json(&schema());
    assert_eq!(stored.answer().await.status, 201);
    let document = server.get("/openapi.json").await.ok();
    (upstream, server, document)
}

/// Returns true if the document allows this value at a part of it.
fn allows(document: &Value, pointer: &str, value: &Value) -> bool {
    assert!(document.pointer(pointer).is_some(), "{pointer} is missing");
    let whole = json!({
        "$ref": format!("#{}", pointer.replace('{', "%7B").replace('}', "%7D")),
        "components": document["components"],
        "paths": document["paths"],
    });
    let validator = jsonschema::validator_for(&whole).unwrap();
    validator.is_valid(value)
}

fn is_rejected(answer: &Answer, context: &str) -> bool {
    match answer.status.as_u16() {
        200..300 => false,
        422 => true,
        status => panic!("{context}: {status} {}", answer.text()),
    }
}

/// Returns values of fields that requests have in common, at and beyond their bounds.
fn common_fields() -> Vec<(&'static str, Value)> {
    let mut fields: Vec<(&'static str, Value)> = Vec::new();
    let mut add = |name, values: &[Value]| {
        fields.extend(values.iter().map(|value| (name, value.clone())));
    };
    let unusable = ["", "A", "Person", "-a", "_a", "a b", "a.b", "é", "person\n"];
    add("schema", &unusable.map(Value::from));
    add(
        "schema",
        &[
            "a".repeat(65).into(),
            json!("person"),
            json!([]),
            json!(1),
            json!(null),
        ],
    );
    add("max_attempts", &[0, 1, 10, 11].map(Value::from));
    add("timeout_ms", &[0, 1, 3_600_000, 3_600_001].map(Value::from));
    add(
        "temperature",
        &[json!(-0.1), json!(0), json!(2), json!(2.1)],
    );
    add(
        "max_output_tokens",
        &[0_u64, 1, 4_294_967_295, 4_294_967_296].map(Value::from),
    );
    let rule =
        |expression: &str, message: &str| json!([{"expression": expression, "message": message}]);
    add(
        "rules",
        &[
            json!([]),
            rule("true", "m"),
            rule("true", ""),
            rule("true", &"m".repeat(501)),
        ],
    );
    let long = |length: usize| format!("true || data.name == \"{}\"", "x".repeat(length - 22));
    add("rules", &[rule(&long(4096), "m"), rule(&long(4097), "m")]);
    let many = |count: usize| json!(vec![json!({"expression": "true", "message": "m"}); count]);
    add("rules", &[many(100), many(101)]);
    add("metadata", &[json!({"a": "b"}), json!({"a": 1}), json!([])]);
    add("mode", &["auto", "fast"].map(Value::from));
    add("grounding", &["report", "yes"].map(Value::from));
    add(
        "fallback_on",
        &[json!([]), json!(["refused"]), json!(["rain"])],
    );
    fields
}

/// Sends a body with this field, and compares the answer with what the document says of the body.
async fn compare(
    server: &Server,
    document: &Value,
    (path, component): (&str, &str),
    (body, name, value): (&Value, &str, &Value),
) {
    let body = with(body.clone(), json!({name: value}));
    let shown: String = value.to_string().chars().take(80).collect();
    let context = format!("{path} with {name} = {shown}");
    let rejected = is_rejected(&server.post(path, &body).await, &context);
    let pointer = format!("/components/schemas/{component}");
    // A pattern does not say which names are registered; none but `person` is.
    assert_eq!(rejected, !allows(document, &pointer, &body), "{context}");
}

#[tokio::test]
async fn the_document_and_the_server_agree_on_the_fields_of_requests() {
    let (_upstream, server, document) = documented().await;
    let requests = [
        ("/v1/extract", "ExtractRequest", single("text")),
        ("/v1/extract/batch", "BatchRequest", batch(1)),
        ("/v1/jobs", "JobRequest", batch(1)),
    ];
    for (path, component, body) in &requests {
        for (name, value) in common_fields() {
            compare(&server, &document, (path, component), (body, name, &value)).await;
        }
    }
    for (path, component, body) in requests.iter().skip(1) {
        for (name, value) in [
            ("concurrency", json!(0)),
            ("concurrency", json!(1)),
            ("on_error", json!("halt")),
        ] {
            compare(&server, &document, (path, component), (body, name, &value)).await;
        }
        for length in [255, 256] {
            let inputs = json!([{"id": "é".repeat(length), "input": "text"}]);
            compare(
                &server,
                &document,
                (path, component),
                (body, "inputs", &inputs),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn the_document_and_the_server_agree_on_webhooks() {
    let (_upstream, server, document) = documented().await;
    let request = ("/v1/jobs", "JobRequest");
    let webhook = |url: &str, secret: &str| json!({"url": url, "secret": secret});
    let url = "http://127.0.0.1:9/hook";
    let secret = |bytes: usize| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("whsec_{}", STANDARD.encode(vec![0xa7; bytes]))
    };
    let mut webhooks: Vec<_> = (22..=66)
        .map(|bytes| webhook(url, &secret(bytes)))
        .collect();
    // Bits behind the last byte, a prefix that is missing, an alphabet that is another.
    let other = secret(25).replace("w==", "x==");
    for secret in [
        other,
        secret(24).replace("whsec_", ""),
        secret(24).replace('p', "-"),
    ] {
        webhooks.push(webhook(url, &secret));
    }
    for url in [
        "HTTP://127.0.0.1:9",
        "https://127.0.0.1:9/",
        "ftp://127.0.0.1/",
        "127.0.0.1:9",
        "",
    ] {
        webhooks.push(webhook(url, &secret(24)));
    }
    for length in [2_048, 2_049] {
        webhooks.push(webhook(
            &format!("{url}{}", "x".repeat(length - url.len())),
            &secret(24),
        ));
    }
    for webhook in webhooks {
        compare(
            &server,
            &document,
            request,
            (&batch(1), "webhook", &webhook),
        )
        .await;
    }
}

/// Returns the schema of a parameter of a GET.
fn parameter(document: &Value, method: &str, path: &str, name: &str) -> String {
    let path = path.replace('/', "~1");
    let pointer = format!("/paths/{path}/{method}/parameters");
    let parameters = document
        .pointer(&pointer)
        .and_then(Value::as_array)
        .unwrap();
    let index = parameters.iter().position(|each| each["name"] == name);
    format!(
        "{pointer}/{}/schema",
        index.unwrap_or_else(|| panic!("{path} has no {name}"))
    )
}

#[tokio::test]
async fn the_document_and_the_server_agree_on_query_parameters() {
    let (_upstream, server, document) = documented().await;
    let job = server.post("/v1/jobs", &batch(1)).await.json();
    let id = job["id"].as_str().unwrap();
    let pages = ["/v1/jobs", "/v1/schemas", "/v1/jobs/{id}/results"];
    let mut cases: Vec<_> = pages
        .iter()
        .flat_map(|path| [0, 1, 1_000, 1_001].map(|limit| (*path, "limit", json!(limit))))
        .collect();
    let choices = [
        (
            "/v1/jobs",
            "status",
            ["queued", "queued,failed,queued", "done", "", "queued,"].as_slice(),
        ),
        ("/v1/jobs/{id}/results", "status", &["failed", "queued", ""]),
        (
            "/v1/jobs/{id}/results",
            "order",
            &["input", "completion", "size", ""],
        ),
        (
            "/v1/jobs/{id}/results",
            "offset_unit",
            &["byte", "utf8", ""],
        ),
    ];
    for (path, name, values) in choices {
        cases.extend(values.iter().map(|value| (path, name, json!(value))));
    }
    for (path, name, value) in cases {
        let text = value.as_str().map_or_else(|| value.to_string(), encoded);
        let target = format!("{}?{name}={text}", path.replace("{id}", id));
        let rejected = is_rejected(&server.get(&target).await, &target);
        let pointer = parameter(&document, "get", path, name);
        assert_eq!(rejected, !allows(&document, &pointer, &value), "{target}");
    }
}

#[tokio::test]
async fn the_document_and_the_server_agree_on_idempotency_keys_and_names() {
    let (_upstream, server, document) = documented().await;
    let pointer = parameter(&document, "post", "/v1/jobs", "Idempotency-Key");
    for key in [
        String::new(),
        "k".to_owned(),
        "é".repeat(255),
        "k".repeat(256),
    ] {
        let request = server
            .request(Method::POST, "/v1/jobs")
            .header("idempotency-key", &key);
        let rejected = is_rejected(&request.json(&batch(1)).answer().await, &key);
        assert_eq!(rejected, !allows(&document, &pointer, &json!(key)), "{key}");
    }
    let pointer = parameter(&document, "put", "/v1/schemas/{name}", "name");
    for name in ["a", "0-_", "A", "-", "é", &"a".repeat(64), &"a".repeat(65)] {
        let path = format!("/v1/schemas/{}", encoded(name));
        let answer = server
            .request(Method::PUT, &path)
            .json(&schema())
            .answer()
            .await;
        let rejected = is_rejected(&answer, name);
        assert_eq!(
            rejected,
            !allows(&document, &pointer, &json!(name)),
            "{name}"
        );
    }
}
