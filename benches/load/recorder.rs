//! Recorder of the service's requests to its upstream, byte for byte, so that the bare loop sends the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use anyhow::{Context, Result};

use super::bodies;
use super::client::Connection;
use super::service::Service;

/// An answer after which the service gives up.
const REFUSAL: &[u8] = b"HTTP/1.1 401 -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Returns the body of the call that a single extraction leads to.
///
/// # Errors
/// If the service makes none.
pub fn upstream_body() -> Result<Vec<u8>> {
    upstream_body_of(&bodies::single(0))
}

/// Returns the body of the first call that this request leads to.
///
/// # Errors
/// If the service makes none.
pub fn upstream_body_of(request: &[u8]) -> Result<Vec<u8>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let base_url = format!("http://{}/v1", listener.local_addr()?);
    let recording = thread::spawn(move || record(&listener));
    let service = Service::start(&base_url, 1)?;
    Connection::open(&service.address)?.exchange(request)?;
    recording.join().ok().context("the recorder")?
}

fn record(listener: &TcpListener) -> Result<Vec<u8>> {
    let (mut stream, _) = listener.accept()?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    for line in reader.by_ref().lines() {
        let line = line?.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(REFUSAL)?;
    Ok(body)
}
