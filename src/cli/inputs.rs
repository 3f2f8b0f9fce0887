//! Reading of the inputs: once to validate all of them, and on a thread that feeds the upload of a job.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http_body::Frame;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::interrupt::{self, Interrupted};
use super::source::{Source, Surroundings};

/// Approximate size of a chunk of an upload, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Maximum number of chunks, or of lines of standard input, that are read ahead.
const READ_AHEAD: usize = 64;
/// Number of lines of standard input, and their bytes, at which no further line is added to a job.
const MAX_LINES: u64 = 10_000;
const MAX_LINES_BYTES: usize = 16 << 20;
/// Time for which a job's first line of standard input waits for further lines.
const LINGER: Duration = Duration::from_millis(100);

/// First inputs of a source: their number, and a digest that shows whether they have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    pub count: u64,
    pub digest: String,
}

/// Consecutive inputs that are one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index of the first input.
    pub first: u64,
    /// Inputs up to the last one.
    pub end: Prefix,
}

/// Result of reading all inputs.
#[derive(Debug)]
pub struct Scan {
    /// All inputs.
    pub inputs: Prefix,
    /// Parts of the source beside its inputs.
    pub surroundings: Surroundings,
}

/// Digest of the inputs read so far.
#[derive(Debug, Clone)]
pub struct Reader {
    count: u64,
    digest: Sha256,
}

impl Reader {
    fn prefix(&self) -> Prefix {
        let digest: [u8; 32] = self.digest.clone().finalize().into();
        Prefix {
            count: self.count,
            digest: crate::types::hexadecimal(&digest),
        }
    }
}

/// Reads all inputs, and passes each to `on_input`, with its index and the digest up to it. `known` are prefixes of the
/// inputs of an earlier run, by their length.
///
/// # Errors
/// At the first invalid input; if the inputs do not begin with the prefixes; if the run is interrupted; errors of `on_input`.
pub fn scan(
    source: &Source,
    known: &[Prefix],
    stop: &CancellationToken,
    mut on_input: impl FnMut(u64, &str, &Reader) -> anyhow::Result<()>,
) -> anyhow::Result<Scan> {
    const ADVICE: &str =
        "use the same inputs, or --restart to start over without the earlier results";
    let mut known = known.iter().peekable();
    let mut reader = Reader {
        count: 0,
        digest: Sha256::new(),
    };
    let surroundings = source.read_inputs(&mut |json| {
        interrupt::check(stop)?;
        reader.digest.update(json);
        // No input contains a line break.
        reader.digest.update(b"\n");
        let index = reader.count;
        reader.count += 1;
        if let Some(prefix) = known.next_if(|prefix| prefix.count == reader.count)
            && *prefix != reader.prefix()
        {
            bail!(
                "{} has changed: its first {} inputs are not those of the earlier run; {ADVICE}",
                source.name(),
                prefix.count
            );
        }
        on_input(index, json, &reader)
    })?;
    if let Some(missing) = known.last() {
        bail!(
            "there are {} inputs in {}, but at least {} in the earlier run; {ADVICE}",
            reader.count,
            source.name(),
            missing.count
        );
    }
    Ok(Scan {
        inputs: reader.prefix(),
        surroundings,
    })
}

/// Body of an upload: inputs as NDJSON.
#[derive(Debug)]
pub struct Upload(mpsc::Receiver<io::Result<Bytes>>);

impl Upload {
    /// Returns a body with these bytes.
    pub fn of_bytes(bytes: Bytes) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        drop(sender.try_send(Ok(bytes)));
        Self(chunks)
    }

    /// Starts a thread that reads a segment of a file. The body fails if the file has changed since it was counted.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn of_file(source: Source, segment: Segment, stop: CancellationToken) -> io::Result<Self> {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        spawn_reader(move || {
            let mut chunk = Vec::new();
            let indices = segment.first..segment.end.count;
            // A closed channel means that the request is over.
            let send = |chunk: &mut Vec<u8>| {
                let bytes = Bytes::from(std::mem::take(chunk));
                sender.blocking_send(Ok(bytes)).map_err(|_| Interrupted)
            };
            let read = scan(&source, &[segment.end], &stop, |index, json, _| {
                if indices.contains(&index) {
                    chunk.extend_from_slice(json.as_bytes());
                    chunk.push(b'\n');
                }
                if chunk.len() >= CHUNK_BYTES {
                    send(&mut chunk)?;
                }
                Ok(())
            });
            match read {
                Ok(_) => drop(send(&mut chunk)),
                Err(error) => {
                    drop(sender.blocking_send(Err(io::Error::other(format!("{error:#}")))));
                }
            }
        })?;
        Ok(Self(chunks))
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = self.0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

/// Starts a reading thread. A blocking task of the runtime would delay the end of the process while it waits for standard
/// input; a thread does not.
pub fn spawn_reader(read: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("reader".to_owned());
    thread.spawn(read).map(drop)
}

/// Standard input, which is read once, and sent in as many jobs as its pace needs.
#[derive(Debug)]
pub struct StandardInput {
    lines: mpsc::Receiver<(String, Reader)>,
    end: oneshot::Receiver<anyhow::Result<Surroundings>>,
}

impl StandardInput {
    /// Starts the thread that reads standard input. It skips the inputs of the earlier run, whose prefixes are `known`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(source: Source, known: Vec<Prefix>, stop: CancellationToken) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(READ_AHEAD);
        let (ended, end) = oneshot::channel();
        let skip = known.last().map_or(0, |prefix| prefix.count);
        spawn_reader(move || {
            let read = scan(&source, &known, &stop, |index, json, reader| {
                if index < skip {
                    return Ok(());
                }
                let line = (json.to_owned(), reader.clone());
                sender.blocking_send(line).map_err(|_| Interrupted.into())
            });
            drop(ended.send(read.and_then(reject_spec_fields)));
        })?;
        Ok(Self { lines, end })
    }

    /// Waits for the inputs of the next job: the next line, and those that follow it at once. Returns them as NDJSON, with
    /// the prefix that ends with them; `None` at the end of the input.
    pub async fn next(&mut self) -> Option<(Bytes, Prefix)> {
        let mut body = Vec::new();
        let mut line = self.lines.recv().await?;
        let linger = Instant::now() + LINGER;
        for lines in 1_u64.. {
            body.extend_from_slice(line.0.as_bytes());
            body.push(b'\n');
            if lines >= MAX_LINES || body.len() >= MAX_LINES_BYTES {
                break;
            }
            match timeout_at(linger, self.lines.recv()).await {
                Ok(Some(next)) => line = next,
                _ => break,
            }
        }
        Some((body.into(), line.1.prefix()))
    }

    /// Waits until all is read.
    ///
    /// # Errors
    /// As [`scan`]; if there are fields of the spec beside the inputs.
    pub async fn end(self) -> anyhow::Result<Surroundings> {
        self.end.await?
    }
}

/// Rejects fields of the spec on standard input: its inputs are being sent before the fields after them are read.
fn reject_spec_fields(scan: Scan) -> anyhow::Result<Surroundings> {
    let fields = &scan.surroundings.spec_fields;
    if fields.is_empty() {
        return Ok(scan.surroundings);
    }
    let names: Vec<_> = fields.keys().map(|name| format!("`{name}`")).collect();
    bail!(
        "standard input has {} beside `inputs`: use flags instead, or read from a file",
        names.join(", ")
    )
}
