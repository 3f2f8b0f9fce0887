//! Where results go as they come: into the journal, or straight to standard output.

use std::io::{BufWriter, IsTerminal, Stdout, Write};

use anyhow::Context;
use serde_json::{Map, Value};

use super::checkpoint::Checkpoint;
use super::input_line::InputLine;

#[derive(Debug)]
pub enum ResultSink {
    Checkpoint(Checkpoint),
    /// As NDJSON, in the order in which they are done.
    Stream(BufWriter<Stdout>),
}

/// More than the results of one piece of the server's answer, which are written together.
const STREAM_BYTES: usize = 1 << 20;

impl ResultSink {
    /// Standard output.
    pub fn stream() -> Self {
        Self::Stream(BufWriter::with_capacity(STREAM_BYTES, std::io::stdout()))
    }

    /// Whether what it writes stands among the progress.
    pub fn is_on_terminal(&self) -> bool {
        match self {
            Self::Checkpoint(_) => false,
            Self::Stream(out) => out.get_ref().is_terminal(),
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub fn take(
        &mut self,
        line: &InputLine,
        has_succeeded: bool,
        result: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Checkpoint(journal) => journal.record(line, has_succeeded, result),
            Self::Stream(out) => {
                let mut text = serde_json::to_vec(result)?;
                text.push(b'\n');
                out.write_all(&text)
                    .context("cannot write to standard output")
            }
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Checkpoint(journal) => journal.flush(),
            Self::Stream(out) => out.flush().context("cannot write to standard output"),
        }
    }
}
