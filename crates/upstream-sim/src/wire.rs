//! HTTP/1.1 on one TCP connection, as far as a simulated provider needs it: whole requests in, whole or deliberately
//! broken responses out, and the moment that the client goes away.
//!
//! Written by hand because a server library hides what the tests are about: a reset, a body cut short, a client that left.
//! It knows nothing of models or scripts.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A head longer than this is refused.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A body longer than this is refused.
const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

/// One kept-alive connection of a client.
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A whole request.
pub struct Request {
    head: Bytes,
    /// The body, whole; empty when there was none.
    pub body: Bytes,
}

impl Request {
    /// Returns the method, as sent.
    pub fn method(&self) -> &str {
        self.request_line().split(' ').next().unwrap_or_default()
    }

    /// Returns path and query, as sent.
    pub fn path(&self) -> &str {
        self.request_line().split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the first header of that name, whatever its case; `None` when it was not sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns every header in the order sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.text().split("\r\n").skip(1);
        lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
    }

    fn request_line(&self) -> &str {
        self.text().split("\r\n").next().unwrap_or_default()
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.head).unwrap_or_default()
    }
}

impl Connection {
    /// Takes over an accepted stream; small writes go out at once.
    ///
    /// # Errors
    /// If the socket refuses the option.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(8 * 1024),
        })
    }

    /// Returns the next request, read to its last byte; `None` when the client closed between two requests.
    ///
    /// # Errors
    /// If the connection breaks inside a request, or it is not HTTP/1.1 as this module speaks it.
    pub async fn request(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(invalid("the head is too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head = self.buffer.split_to(end).freeze();
        self.buffer.advance(4);
        let mut request = Request {
            head,
            body: Bytes::new(),
        };
        if request
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        request.body = self.body(&request).await?;
        Ok(Some(request))
    }

    async fn body(&mut self, request: &Request) -> io::Result<Bytes> {
        if request
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return self.chunked().await;
        }
        let length = request.header("content-length").unwrap_or("0");
        let length = length
            .parse()
            .map_err(|_| invalid("content-length is no number"))?;
        self.take(length).await
    }

    async fn chunked(&mut self) -> io::Result<Bytes> {
        let mut whole = BytesMut::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| invalid("a chunk's size is no number"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(whole.freeze());
            }
            if whole.len() + size > MAX_BODY_BYTES {
                return Err(invalid("the body is too long"));
            }
            whole.extend_from_slice(&self.take(size).await?);
            self.take(2).await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            self.more().await?;
        };
        let line = String::from_utf8_lossy(&self.buffer.split_to(end)).into_owned();
        self.buffer.advance(2);
        Ok(line)
    }

    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        if length > MAX_BODY_BYTES {
            return Err(invalid("the body is too long"));
        }
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Resolves when the client has closed or reset the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost: bytes that came in the meantime are kept for the next request.
    pub async fn disconnected(&mut self) {
        while self.more().await.is_ok() {}
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the client has gone.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the connection with a reset rather than a close.
    pub fn reset(self) {
        // Failing to set it leaves an ordinary close, which the client sees as a broken answer all the same.
        let _ = self.stream.set_zero_linger();
    }
}

/// Returns the head of a response, to be followed by `length` bytes of body. `headers` come after the standard ones.
pub fn head(
    status: u16,
    content_type: &str,
    length: usize,
    headers: &[(String, String)],
) -> Vec<u8> {
    let mut head = Vec::with_capacity(160 + length);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.to_string().as_bytes());
    head.extend_from_slice(b" -\r\ncontent-type: ");
    head.extend_from_slice(content_type.as_bytes());
    head.extend_from_slice(b"\r\ncontent-length: ");
    head.extend_from_slice(length.to_string().as_bytes());
    for (name, value) in headers {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// Returns a whole response in one piece, to go out in one write.
pub fn response(
    status: u16,
    content_type: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Vec<u8> {
    let mut whole = head(status, content_type, body.len(), headers);
    whole.extend_from_slice(body);
    whole
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
