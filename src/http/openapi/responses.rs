//! Responses of the OpenAPI document: problems per operation and status, headers, and the events of streams.

#![expect(
    clippy::indexing_slicing,
    reason = "a member that a JSON value lacks reads as null and is added when written"
)]

use serde_json::{Map, Value, json};

use crate::contract::{Problem, http_status};
use crate::types::{Code, Error};

/// Problems of every operation that needs a key. 422 stands for an unknown query parameter, 429 for a caller with its share of open
/// requests, 503 for a server that drains or has no memory for the response.
const SHARED: [u16; 6] = [401, 403, 422, 429, 500, 503];

/// Further problems of each operation.
const PROBLEMS: [(&str, &[u16]); 18] = [
    ("extract", &[400, 413, 415, 502, 504]),
    ("extract_batch", &[400, 413, 415]),
    ("create_job", &[400, 409, 413, 415]),
    ("list_jobs", &[]),
    ("get_job", &[404]),
    ("delete_job", &[404, 409]),
    ("list_job_results", &[404]),
    ("stream_job_events", &[404, 410]),
    ("cancel_job", &[404]),
    ("retry_job", &[404, 409]),
    ("list_schemas", &[]),
    ("get_schema", &[404]),
    ("list_schema_versions", &[404]),
    ("put_schema", &[400, 409, 413, 415]),
    ("delete_schema", &[404, 409]),
    ("list_models", &[]),
    ("get_model", &[404]),
    ("get_limits", &[]),
];

/// Returns the parts of the document's components that are not schemas.
pub fn components() -> [(&'static str, Value); 2] {
    let text = |description: &str, example: &str| json!({"description": description, "schema": {"type": "string"}, "example": example});
    [
        (
            "headers",
            json!({
                "RequestId": text("ID of the request: the client's, if it sent a valid one.", "req_7f9d2c"),
                "ServerTiming": text("Time in the queue, in calls to the provider, and in total, in milliseconds.", "queue;dur=0.2, upstream;dur=851.3, total;dur=852"),
                "RetryAfter": {"description": "Minimum delay before the request is sent again, in seconds.", "schema": {"type": "integer", "minimum": 0}, "example": 3},
                "WwwAuthenticate": text("Scheme of authentication.", "Bearer"),
                "RateLimitPolicy": text("Quotas per minute of the caller's key, if it has any.", "\"requests\";q=600;w=60"),
                "RateLimit": text("What remains of these quotas, and the seconds until they are full again.", "\"requests\";r=599;t=1"),
                "Location": text("Path of the job.", "/v1/jobs/job_0123456789"),
                "IdempotentReplayed": {"description": "`true` if an earlier request with this idempotency key created the job.", "schema": {"type": "string", "enum": ["true"]}},
            }),
        ),
        (
            "parameters",
            json!({
                "RequestId": {
                    "name": "X-Request-ID", "in": "header", "required": false, "schema": {"type": "string"},
                    "description": "ID of the request, up to 128 letters, digits and `-_.:/+=@`, for logs and the response. Default: a generated one.",
                },
                "Traceparent": {
                    "name": "traceparent", "in": "header", "required": false, "schema": {"type": "string"},
                    "description": "W3C Trace Context, forwarded to the provider.",
                    "example": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                },
            }),
        ),
    ]
}

/// Adds the problems of an operation, and the headers and events of its successful responses.
pub fn add(id: &str, responses: &mut Map<String, Value>) {
    for (status, response) in responses.iter_mut() {
        response["headers"] = success_headers(id, status);
        if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) {
            describe_streams(id, content);
        }
    }
    if matches!(id, "create_chat_completion" | "create_response") {
        for status in [400, 401, 403, 404, 413, 415, 429, 500, 502, 503, 504] {
            responses.insert(status.to_string(), openai_error(status));
        }
        return;
    }
    let own = PROBLEMS.iter().find(|(operation, _)| *operation == id);
    let Some((_, own)) = own else {
        if id == "get_metrics" {
            add_problems(&[401, 403, 500], responses);
        }
        return;
    };
    let mut statuses = [&SHARED[..], own].concat();
    statuses.sort_unstable();
    add_problems(&statuses, responses);
}

fn add_problems(statuses: &[u16], responses: &mut Map<String, Value>) {
    for status in statuses {
        responses.insert(status.to_string(), problem(*status));
    }
}

fn reference(header: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{header}")})
}

fn shared_headers() -> Value {
    json!({
        "x-request-id": reference("RequestId"), "server-timing": reference("ServerTiming"),
        "ratelimit-policy": reference("RateLimitPolicy"), "ratelimit": reference("RateLimit"),
    })
}

fn success_headers(id: &str, status: &str) -> Value {
    let mut headers = shared_headers();
    if id == "create_job" && status == "202" {
        headers["location"] = reference("Location");
        headers["idempotent-replayed"] = reference("IdempotentReplayed");
    }
    headers
}

/// Returns the response of this status: the problems that have it.
fn problem(status: u16) -> Value {
    let codes = Code::ALL
        .into_iter()
        .filter(|code| http_status(*code) == status);
    let mut examples = Map::new();
    let mut lines = Vec::new();
    for code in codes {
        let name = code.as_str();
        lines.push(format!("`{name}`: {}", occasion(code)));
        let detail = format!("{}.", occasion(code));
        let error = Error::new(code, detail);
        examples.insert(
            name.to_owned(),
            json!({"value": Problem::new(&error, "req_7f9d2c")}),
        );
    }
    let mut headers = shared_headers();
    match status {
        401 => headers["www-authenticate"] = reference("WwwAuthenticate"),
        429 | 503 => headers["retry-after"] = reference("RetryAfter"),
        _ => {}
    }
    json!({
        "description": lines.join("; "),
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": schema("Problem"), "examples": examples,
        }},
    })
}

/// Returns the response of this status in OpenAI's shape.
fn openai_error(status: u16) -> Value {
    let codes = Code::ALL.into_iter().filter(|code| match status {
        400 => matches!(
            code,
            Code::InvalidJson | Code::InvalidRequest | Code::InvalidSchema
        ),
        404 => *code == Code::InvalidRequest,
        _ => http_status(*code) == status,
    });
    let lines: Vec<_> = match status {
        404 => vec!["the model is not known".to_owned()],
        _ => codes
            .clone()
            .map(|code| occasion(code).to_owned())
            .collect(),
    };
    let mut headers = shared_headers();
    match status {
        401 => headers["www-authenticate"] = reference("WwwAuthenticate"),
        429 | 503 => headers["retry-after"] = reference("RetryAfter"),
        _ => {}
    }
    json!({
        "description": lines.join("; "),
        "headers": headers,
        "content": {"application/json": {"schema": schema("OpenAiErrorBody")}},
    })
}

/// Returns the occasion of an error code.
const fn occasion(code: Code) -> &'static str {
    match code {
        Code::InvalidJson => "the body is not JSON, or was interrupted",
        Code::InvalidRequest => {
            "a field or parameter is missing, unknown, or of the wrong type or range"
        }
        Code::InvalidSchema => {
            "the schema is not a JSON Schema, has a remote `$ref`, or is too large"
        }
        Code::Unauthorized => "no API key was sent, or an unknown one",
        Code::Forbidden => {
            "the API key may not do this, or the host name or the signature is not accepted"
        }
        Code::NotFound => "nothing has this ID or name",
        Code::Gone => "the job has no event with this number",
        Code::MethodNotAllowed => "the path does not support this method",
        Code::Conflict => "the current state does not allow this",
        Code::IdempotencyMismatch => "the idempotency key was used for a different request",
        Code::PayloadTooLarge => {
            "the body, a line of it, the text or an ordered response is too large"
        }
        Code::UnsupportedMediaType => "the content type is not supported",
        Code::QuotaExceeded => {
            "the caller has used up its quota, its daily budget, or its share of places or open requests"
        }
        Code::Overloaded => {
            "the waiting room is full, there is no memory now, or the store is unavailable"
        }
        Code::ExtractionFailed => "no attempt's answer was valid",
        Code::ModelRefused => "the model refused to answer",
        Code::OutputTruncated => "the answer reached the output limit",
        Code::UpstreamError => "the provider failed after all retries",
        Code::UpstreamRateLimited => "the provider's rate limit was exceeded",
        Code::UpstreamUnauthorized => "the provider rejected its API key",
        Code::Timeout => "`timeout_ms` has passed",
        Code::ShuttingDown => "the server is shutting down",
        Code::Internal => "a bug of the server",
    }
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Event stream of an operation: the schema of its events, the schema of the data by event name, and their order.
struct EventStream {
    operation: &'static str,
    name: &'static str,
    events: &'static [(&'static str, &'static str)],
    order: &'static str,
}

const EVENT_STREAMS: [EventStream; 3] = [
    EventStream {
        operation: "extract",
        name: "ExtractEvent",
        events: &[
            ("partial", "PartialResult"),
            ("item", "ListItem"),
            ("result", "Result"),
            ("error", "Problem"),
            ("done", "SingleDone"),
        ],
        order: "`partial` and `item` while the model writes, then `result` or `error`, then `done`",
    },
    EventStream {
        operation: "extract_batch",
        name: "BatchEvent",
        events: &[
            ("result", "Result"),
            ("progress", "Progress"),
            ("error", "Problem"),
            ("done", "SseDone"),
        ],
        order: "one `result` per input, `progress` about once per second, then `done`; `error` if the stream itself fails",
    },
    EventStream {
        operation: "stream_job_events",
        name: "JobEvent",
        events: &[
            ("result", "Result"),
            ("progress", "JobProgress"),
            ("retried", "JobDone"),
            ("done", "JobDone"),
        ],
        order: "one `result` per item, `progress` about once per second, then `done`; `retried` is a `done` before a retry of the job",
    },
];

/// Returns the schemas of one event of each stream.
pub fn event_schemas() -> impl Iterator<Item = (&'static str, Value)> {
    let openai = json!({
        "type": "object",
        "description": "One Server-Sent Event of a stream of OpenAI's API.",
        "required": ["data"],
        "properties": {
            "event": {"type": "string", "description": "Type of the event. Responses only."},
            "data": {"type": "string", "description": "JSON object, or `[DONE]`."},
        },
    });
    let own = EVENT_STREAMS.iter().map(|stream| {
        let names: Vec<_> = stream.events.iter().map(|(name, _)| *name).collect();
        let data: Vec<_> = stream.events.iter().map(|(_, data)| schema(data)).collect();
        let event = json!({
            "type": "object",
            "description": format!("One Server-Sent Event: {}.", stream.order),
            "required": ["event", "data"],
            "properties": {
                "event": {"type": "string", "enum": names},
                "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": data}},
                "id": {"type": "string", "description": "Number of the event, for `Last-Event-ID`."},
                "retry": {"type": "integer", "description": "Delay before a client reconnects, in milliseconds. In the first event only."},
            },
        });
        (stream.name, event)
    });
    own.chain([("OpenAiEvent", openai)])
}

/// Describes streamed responses: events and the data of each by name (`x-events`), and lines (`x-lines`).
fn describe_streams(id: &str, content: &mut Map<String, Value>) {
    let stream = EVENT_STREAMS.iter().find(|stream| stream.operation == id);
    if let (Some(media), Some(stream)) = (content.get_mut("text/event-stream"), stream) {
        let data: Map<_, _> = stream
            .events
            .iter()
            .map(|(name, data)| ((*name).to_owned(), schema(data)))
            .collect();
        // Before OpenAPI 3.2 some tools read the schema as that of the text, others as that of each event.
        media["schema"] = json!({
            "description": format!("Server-Sent Events with JSON data: {}.", stream.order),
            "anyOf": [{"type": "string"}, schema(stream.name)],
        });
        media["x-events"] = Value::Object(data);
    }
    let openai_stream = match id {
        "create_chat_completion" => {
            Some("chunks of the completion, `chat.completion.chunk`, and `[DONE]` last")
        }
        "create_response" => Some("events of the response, `response.completed` last"),
        _ => None,
    };
    if let (Some(media), Some(order)) = (content.get_mut("text/event-stream"), openai_stream) {
        media["schema"] = json!({
            "description": format!("Server-Sent Events with JSON data: {order}."),
            "anyOf": [{"type": "string"}, schema("OpenAiEvent")],
        });
    }
    if let Some(lines) = content.get_mut("application/x-ndjson") {
        let (schemas, order) = if id == "extract_batch" {
            (
                json!([schema("Result"), schema("NdjsonSummary")]),
                "one result per line in completion order, the summary last",
            )
        } else {
            (json!([schema("Result")]), "one result per line")
        };
        lines["schema"]["description"] = json!(format!("JSON lines: {order}."));
        lines["x-lines"] = schemas;
    }
}
