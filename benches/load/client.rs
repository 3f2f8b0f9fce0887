//! HTTP/1.1 over a blocking socket, as cheap as can be, so that it takes little from the two that are compared. It knows no more
//! of the protocol than the service and the upstream answer with.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Nothing that is measured is silent for so long.
const SILENCE: Duration = Duration::from_secs(120);

/// A kept-alive connection.
pub struct Connection(BufReader<TcpStream>);

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to an address.
    ///
    /// # Errors
    /// If nothing listens there.
    pub fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self(BufReader::with_capacity(64 * 1024, stream)))
    }

    /// Returns a second handle to write with while the first one reads.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.0.get_ref().try_clone()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the other side has gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// If no answer comes that has its length.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.send(request)?;
        self.answer()
    }

    /// Reads the answer to what was sent.
    ///
    /// # Errors
    /// If no answer comes that has its length.
    pub fn answer(&mut self) -> Result<Answer> {
        let head = self.head()?;
        let mut body = vec![0; head.length.context("the answer has no content-length")?];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            status: head.status,
            body,
        })
    }

    /// Sends a request whose answer has to be a success.
    ///
    /// # Errors
    /// With the answer, when it is none.
    pub fn exchange_ok(&mut self, request: &[u8]) -> Result<Answer> {
        let answer = self.exchange(request)?;
        ensure!(
            answer.status == 200,
            "status {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }

    /// Returns the head of a streamed answer; what follows is its body, line by line.
    ///
    /// # Errors
    /// If it is not a streamed success.
    pub fn lines(&mut self) -> Result<impl BufRead> {
        let head = self.head()?;
        ensure!(
            head.status == 200 && head.length.is_none(),
            "status {}, not a stream",
            head.status
        );
        Ok(BufReader::with_capacity(
            64 * 1024,
            Chunks {
                from: &mut self.0,
                left: 0,
                ended: false,
            },
        ))
    }

    fn head(&mut self) -> Result<Head> {
        let (mut head, mut line) = (
            Head {
                status: 0,
                length: None,
            },
            String::new(),
        );
        loop {
            line.clear();
            ensure!(
                self.0.read_line(&mut line)? > 0,
                "the connection was closed before the answer"
            );
            let text = line.trim_end();
            if let Some((name, value)) = text.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    head.length = Some(value.trim().parse()?);
                }
            } else if let Some(status) = text
                .strip_prefix("HTTP/1.1 ")
                .and_then(|rest| rest.get(..3))
            {
                head.status = status.parse()?;
            } else if text.is_empty() {
                return Ok(head);
            }
        }
    }
}

struct Head {
    status: u16,
    /// `None`: chunked.
    length: Option<usize>,
}

/// A chunked body without its framing.
struct Chunks<'a> {
    from: &'a mut BufReader<TcpStream>,
    left: usize,
    ended: bool,
}

impl Chunks<'_> {
    fn size_line(&mut self) -> io::Result<usize> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        usize::from_str_radix(line.trim_end(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without its size"))
    }
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = self.size_line()?;
            self.ended = self.left == 0;
        }
        let most = self.left.min(buffer.len());
        let read = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= read;
        if self.left == 0 {
            self.from.read_exact(&mut [0; 2])?;
        }
        Ok(read)
    }
}
