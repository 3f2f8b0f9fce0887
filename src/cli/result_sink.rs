//! Sink of the results during a run: the checkpoint, or standard output.

use std::io::{BufWriter, IsTerminal, Stdout, Write};

use anyhow::Context;
use serde_json::{Map, Value};

use super::checkpoint::Checkpoint;
use super::input_line::InputLine;

/// Sink of results in completion order.
#[derive(Debug)]
pub enum ResultSink {
    /// Checkpoint file.
    Checkpoint(Checkpoint),
    /// Standard output, as NDJSON.
    Stream(BufWriter<Stdout>),
}

/// Buffer size in bytes: larger than the results of one chunk of the response, which are written
/// together.
const BUFFER_BYTES: usize = 1 << 20;

impl ResultSink {
    /// Returns a sink to standard output.
    pub fn stream() -> Self {
        Self::Stream(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout()))
    }

    /// Returns true if the sink writes to the terminal that shows the progress.
    pub fn is_on_terminal(&self) -> bool {
        match self {
            Self::Checkpoint(_) => false,
            Self::Stream(out) => out.get_ref().is_terminal(),
        }
    }

    /// Adds a result; [`ResultSink::flush`] writes it.
    ///
    /// # Errors
    /// If the sink cannot be written.
    pub fn push(
        &mut self,
        line: &InputLine,
        has_succeeded: bool,
        result: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.record(line, has_succeeded, result),
            Self::Stream(out) => {
                let mut text = serde_json::to_vec(result)?;
                text.push(b'\n');
                out.write_all(&text)
                    .context("cannot write to standard output")
            }
        }
    }

    /// Writes the added results.
    ///
    /// # Errors
    /// If the sink cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.flush(),
            Self::Stream(out) => out.flush().context("cannot write to standard output"),
        }
    }
}
