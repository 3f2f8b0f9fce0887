//! Request bodies: short texts of one length, so that every call costs the same, and the contract's schema.

use std::io::{BufRead, Write};
use std::net::TcpStream;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"title":"Person","type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"occupation":{"type":"string"}},"required":["name","age","occupation"],"additionalProperties":false}"#;

/// Returns a text that the simulated model understands.
pub fn text(number: usize) -> String {
    format!(
        "John Smith is a {}-year-old software engineer, number {number:07}",
        20 + number % 60
    )
}

/// Returns a whole request for one extraction.
pub fn single(number: usize) -> Vec<u8> {
    let body = format!(r#"{{"input":"{}","schema":{SCHEMA}}}"#, text(number));
    request("/v1/extract", "application/json", "application/json", &body)
}

/// Returns a whole request for a batch, its inputs numbered from 0, answered as server-sent events.
pub fn batch(items: usize) -> Vec<u8> {
    batch_of(0..items, None)
}

/// Returns the same request for results with evidence.
pub fn grounded_batch(items: usize) -> Vec<u8> {
    batch_with(0..items, None, r#","grounding":"report""#)
}

/// Returns the request for a batch of these inputs, from the caller with that key.
pub fn batch_of(numbers: Range<usize>, key: Option<&str>) -> Vec<u8> {
    batch_with(numbers, key, "")
}

/// Returns the request for a batch with further fields.
fn batch_with(numbers: Range<usize>, key: Option<&str>, fields: &str) -> Vec<u8> {
    let inputs: Vec<_> = numbers
        .map(|number| format!("\"{}\"", text(number)))
        .collect();
    let body = format!(
        r#"{{"inputs":[{}],"schema":{SCHEMA}{fields}}}"#,
        inputs.join(",")
    );
    let authorization = key
        .map(|key| format!("authorization: Bearer {key}\r\n"))
        .unwrap_or_default();
    whole(
        "/v1/extract/batch",
        &format!("content-type: application/json\r\naccept: text/event-stream\r\n{authorization}"),
        &body,
    )
}

/// Returns a whole request.
pub fn request(path: &str, content_type: &str, accept: &str, body: &str) -> Vec<u8> {
    whole(
        path,
        &format!("content-type: {content_type}\r\naccept: {accept}\r\n"),
        body,
    )
}

fn whole(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Returns the head of a request whose inputs follow as chunks of NDJSON.
fn ndjson_head(path: &str, accept: &str) -> String {
    let schema: String = SCHEMA.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!(
        "POST {path}?schema={schema} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         accept: {accept}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
}

/// Returns a whole request without a body.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Returns a chunk with these inputs.
fn ndjson_chunk(numbers: Range<usize>) -> String {
    let lines: String = numbers
        .map(|number| format!("\"{}\"\n", text(number)))
        .collect();
    format!("{:x}\r\n{lines}\r\n", lines.len())
}

/// Lines of one chunk of an upload.
const CHUNK_LINES: usize = 1_000;
/// The end of an upload.
const NDJSON_END: &[u8] = b"0\r\n\r\n";

/// Sends a whole upload of so many lines.
///
/// # Errors
/// If the other side has gone.
pub fn upload(mut writer: TcpStream, path: &str, accept: &str, lines: usize) -> Result<()> {
    writer.write_all(ndjson_head(path, accept).as_bytes())?;
    for start in (0..lines).step_by(CHUNK_LINES) {
        writer.write_all(ndjson_chunk(start..lines.min(start + CHUNK_LINES)).as_bytes())?;
    }
    writer.write_all(NDJSON_END)?;
    Ok(())
}

/// Reads a stream of events to its end; `first` is called at the first result.
///
/// # Errors
/// If not all of the `items` succeeded.
pub fn read_events(events: impl BufRead, items: usize, first: impl FnOnce()) -> Result<()> {
    let (mut first, mut last) = (Some(first), String::new());
    for line in events.lines() {
        let line = line?;
        if line == "event: result" {
            first.take().into_iter().for_each(|first| first());
        } else if line.starts_with("data: ") {
            last = line;
        }
    }
    check_summary(
        serde_json::from_str(last.trim_start_matches("data: ")).context("the last event")?,
        items,
    )
}

/// Reads a stream of lines to its end.
///
/// # Errors
/// If not all of the `items` succeeded.
pub fn read_ndjson(lines: impl BufRead, items: usize) -> Result<()> {
    let mut last = String::new();
    for line in lines.lines() {
        last = line?;
    }
    let last: Value = serde_json::from_str(&last).context("the last line")?;
    check_summary(last.get("summary").cloned().unwrap_or(last), items)
}

fn check_summary(summary: Value, items: usize) -> Result<()> {
    ensure!(
        summary.get("succeeded") == Some(&json!(items)),
        "not all of the {items} items succeeded: {summary}"
    );
    Ok(())
}
