//! Examples of the OpenAPI document: requests that a new server answers, and its responses.

#![expect(
    clippy::indexing_slicing,
    reason = "a member that a JSON value lacks reads as null and is added when written"
)]

use serde_json::{Map, Value, json};

const JOHN: &str = "John Smith is a 30-year-old software engineer";
const SARAH: &str = "Sarah Johnson is a 25-year-old data scientist";

/// Adds the examples of an operation to its request body and its successful responses.
pub fn add(id: &str, operation: &mut Map<String, Value>) {
    if let Some(examples) = requests(id) {
        let place = ["requestBody", "content", "application/json"];
        set(operation, &place, examples);
        set(operation, &["requestBody", "x-ndjson"], ndjson_requests());
    }
    for (status, media_type, example) in responses(id) {
        set(
            operation,
            &["responses", status, "content", media_type],
            json!({"example": {"value": example}}),
        );
    }
}

/// Replaces the examples of the media type at this path, if the operation has it.
fn set(operation: &mut Map<String, Value>, path: &[&str], examples: Value) {
    let (first, rest) = path.split_first().unwrap_or((&"", &[]));
    let mut place = operation.get_mut(*first);
    for name in rest {
        place = place.and_then(|place| place.get_mut(*name));
    }
    if let Some(media) = place.and_then(Value::as_object_mut) {
        media.remove("example");
        media.insert("examples".to_owned(), examples);
    }
}

fn person() -> Value {
    json!({
        "title": "Person", "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
        "required": ["name", "age", "occupation"], "additionalProperties": false,
    })
}

fn requests(id: &str) -> Option<Value> {
    let many = json!({"inputs": [JOHN, SARAH], "schema": person()});
    match id {
        "extract" => Some(extract_requests()),
        "extract_batch" => Some(batch_requests(&many)),
        "create_job" => Some(json!({"texts": {"summary": "Many texts", "value": many}})),
        "create_chat_completion" => Some(chat_requests()),
        "create_response" => Some(
            json!({"schema": {"summary": "A JSON Schema: an extraction", "value": {
                "model": "gpt-4o-mini", "instructions": "Names as written.", "input": JOHN,
                "text": {"format": {"type": "json_schema", "name": "Person", "schema": person()}},
            }}}),
        ),
        "put_schema" => Some(json!({"person": {"summary": "A person", "value": person()}})),
        _ => None,
    }
}

fn ndjson_requests() -> Value {
    let lines = format!("{}\n{}\n", json!(JOHN), json!({"id": "b", "input": SARAH}));
    json!({"inputs": {"summary": "One input per line; the schema is a query parameter", "value": lines}})
}

fn extract_requests() -> Value {
    let people = json!({
        "title": "People", "type": "object",
        "properties": {"people": {"type": "array", "items": person()}},
        "required": ["people"], "additionalProperties": false,
    });
    json!({
        "object": {"summary": "One object", "value": {"input": JOHN, "schema": person()}},
        "list": {"summary": "A list, streamed element by element", "value": {"input": format!("{JOHN}. {SARAH}."), "schema": people, "stream": "items"}},
        "rules": {"summary": "Instructions, an example and a rule", "value": {
            "input": JOHN, "schema": person(),
            "instructions": "Write the occupation in lower case.",
            "examples": [{"input": SARAH, "output": {"name": "Sarah Johnson", "age": 25, "occupation": "data scientist"}}],
            "rules": [{"expression": "data.age > 0", "message": "the age must be positive"}],
        }},
    })
}

fn chat_requests() -> Value {
    let messages = json!([{"role": "system", "content": "Names as written."}, {"role": "user", "content": JOHN}]);
    let tool = json!({"type": "function", "function": {"name": "Person", "description": "A person.", "parameters": person()}});
    json!({
        "schema": {"summary": "A JSON Schema: an extraction", "value": {
            "model": "gpt-4o-mini", "messages": messages,
            "response_format": {"type": "json_schema", "json_schema": {"name": "Person", "schema": person()}},
        }},
        "tool": {"summary": "One forced tool: an extraction, with a rule", "value": {
            "model": "gpt-4o-mini", "messages": messages, "tools": [tool],
            "tool_choice": {"type": "function", "function": {"name": "Person"}},
            "extractd": {"rules": [{"expression": "data.age > 0", "message": "the age must be positive"}]},
        }},
        "stream": {"summary": "Streamed, with usage", "value": {
            "model": "gpt-4o-mini", "messages": messages, "stream": true, "stream_options": {"include_usage": true},
            "response_format": {"type": "json_schema", "json_schema": {"name": "Person", "schema": person()}},
        }},
        "text": {"summary": "Without a schema: passed through to the provider", "value": {
            "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}],
        }},
    })
}

fn chat_completion() -> Value {
    json!({
        "id": "chatcmpl_0123456789", "object": "chat.completion", "created": 1_790_000_000, "model": "gpt-4o-mini",
        "choices": [{
            "index": 0, "logprobs": null, "finish_reason": "stop",
            "message": {"role": "assistant", "refusal": null, "content": "{\"name\":\"John Smith\",\"age\":30,\"occupation\":\"software engineer\"}"},
        }],
        "usage": {"prompt_tokens": 98, "completion_tokens": 21, "total_tokens": 119}, "system_fingerprint": null,
        "extractd": {"model": "openai/gpt-4o-mini", "attempts": 1, "cached": false,
            "timing": {"queued_ms": 0.2, "upstream_ms": 851.3, "total_ms": 852.0}},
    })
}

fn batch_requests(many: &Value) -> Value {
    let named = json!({
        "inputs": [{"id": "a", "input": JOHN, "metadata": {"row": "1"}}, {"id": "b", "input": SARAH}],
        "schema": person(), "concurrency": 8, "on_error": "stop",
    });
    let mut streamed = many.clone();
    streamed["stream"] = json!(true);
    json!({
        "gather": {"summary": "All results in input order", "value": many},
        "as_completed": {"summary": "Each result as it completes", "value": streamed},
        "named": {"summary": "IDs, metadata, and a limit of concurrent items", "value": named},
    })
}

fn result(index: Option<usize>) -> Value {
    let mut result = json!({
        "id": "ext_0123456789", "status": "succeeded",
        "data": {"name": "John Smith", "age": 30, "occupation": "software engineer"},
        "model": "openai/gpt-4o-mini", "attempts": 1, "cached": false,
        "usage": {"input_tokens": 98, "output_tokens": 21, "total_tokens": 119},
        "timing": {"queued_ms": 0.2, "upstream_ms": 851.3, "total_ms": 852.0},
    });
    if let Some(index) = index {
        result["index"] = json!(index);
        result["id"] = json!("a");
    }
    result
}

fn summary() -> Value {
    json!({
        "total": 1, "succeeded": 1, "failed": 0, "invalid": 0, "cancelled": 0,
        "usage": {"input_tokens": 98, "output_tokens": 21, "total_tokens": 119}, "elapsed_ms": 852.0,
    })
}

fn done() -> Value {
    let mut done = summary();
    done["status"] = json!("completed");
    done
}

fn job() -> Value {
    let path = "/v1/jobs/job_0123456789";
    json!({
        "id": "job_0123456789", "status": "running",
        "counts": {"total": 1000, "succeeded": 512, "failed": 3, "invalid": 0, "cancelled": 0, "in_flight": 32, "queued": 453},
        "rate_per_s": 31.2, "eta_ms": 14_500, "usage": {"input_tokens": 50_176, "output_tokens": 10_752, "total_tokens": 60_928},
        "created_at": "2026-01-02T03:04:05.678Z", "started_at": "2026-01-02T03:04:05.702Z", "finished_at": null, "expires_at": null,
        "links": {"self": path, "results": format!("{path}/results"), "events": format!("{path}/events?signature=…")},
    })
}

fn event(name: &str, id: Option<u64>, data: &Value) -> String {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {name}\n{id}data: {data}\n\n")
}

fn batch_events() -> Value {
    let result = event("result", Some(1), &result(Some(0)));
    json!(format!(
        "retry: 2000\n{result}{}",
        event("done", None, &done())
    ))
}

fn single_events() -> Value {
    let partial = json!({"data": {"name": "John"}, "attempt": 1});
    let result = result(None);
    let done = json!({"status": "succeeded", "usage": result["usage"], "timing": result["timing"]});
    let events = [
        event("partial", None, &partial),
        event("result", None, &result),
        event("done", None, &done),
    ];
    json!(format!("retry: 2000\n{}", events.concat()))
}

fn responses(id: &str) -> Vec<(&'static str, &'static str, Value)> {
    const JSON: &str = "application/json";
    const LINES: &str = "application/x-ndjson";
    let page = |data: Value| json!({"data": [data], "has_more": false, "next": null});
    match id {
        "extract" => vec![
            ("200", JSON, result(None)),
            ("200", "text/event-stream", single_events()),
        ],
        "extract_batch" => {
            let batch = json!({"id": "bat_0123456789", "status": "completed", "results": [result(Some(0))], "summary": summary()});
            let last = json!({"status": "completed", "summary": summary()});
            vec![
                ("200", JSON, batch),
                ("200", "text/event-stream", batch_events()),
                (
                    "200",
                    LINES,
                    json!(format!("{}\n{last}\n", result(Some(0)))),
                ),
            ]
        }
        "create_chat_completion" => vec![("200", JSON, chat_completion())],
        "create_job" | "cancel_job" | "retry_job" => {
            vec![("202", JSON, job()), ("200", JSON, job())]
        }
        "get_job" => vec![("200", JSON, job())],
        "list_jobs" => vec![("200", JSON, page(job()))],
        "list_job_results" => vec![
            ("200", JSON, page(result(Some(0)))),
            ("200", LINES, json!(format!("{}\n", result(Some(0))))),
        ],
        "stream_job_events" => {
            let result = event("result", Some(1), &result(Some(0)));
            let done = event("done", Some(2), &done());
            vec![(
                "200",
                "text/event-stream",
                json!(format!("retry: 2000\n{result}{done}")),
            )]
        }
        "get_schema" => vec![("200", "application/schema+json", person())],
        "put_schema" => ["200", "201"]
            .map(|status| (status, "application/schema+json", person()))
            .into(),
        _ => Vec::new(),
    }
}
