//! First bytes of a connection, by which a health probe is recognized before the connection is served.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::super::middleware::is_probe;

/// Maximum size of a probe's head in bytes. That of a load balancer or of Kubernetes has less than 300.
const MAX_HEAD_BYTES: usize = 1024;

/// Waits for the first bytes of a connection. Returns true if they are a whole request for a health probe, and nothing more. They stay
/// unread.
///
/// # Errors
/// Errors of the socket.
pub async fn are_probe(socket: &TcpStream) -> io::Result<bool> {
    poll_fn(|cx| {
        // Not kept while waiting: idle connections are many.
        let mut bytes = [0; MAX_HEAD_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(socket.poll_peek(cx, &mut buffer))?;
        Poll::Ready(Ok(is_probe_request(buffer.filled())))
    })
    .await
}

fn is_probe_request(bytes: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let is_whole = bytes.windows(END.len()).position(|window| window == END)
        == bytes.len().checked_sub(END.len());
    let mut words = bytes.split(|byte| *byte == b' ');
    let is_get = matches!(words.next(), Some(b"GET" | b"HEAD"));
    let target = words.next().and_then(|word| str::from_utf8(word).ok());
    let path = target.and_then(|target| target.split('?').next());
    is_whole && is_get && path.is_some_and(is_probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_one_whole_request_for_its_path() {
        for probe in [
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
            "HEAD /readyz?verbose HTTP/1.1\r\nhost: x\r\nuser-agent: y\r\n\r\n",
        ] {
            assert!(is_probe_request(probe.as_bytes()), "{probe}");
        }
        for other in [
            "",
            "\r\n\r\n",
            "GET",
            "GET /healthz",
            "GET /healthz HTTP/1.1\r\nhost: x\r\n",
            "GET /healthzz HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n",
            "POST /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
            // Pipelined requests.
            "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            assert!(!is_probe_request(other.as_bytes()), "{other}");
        }
    }
}
