//! Reading of the inputs: once to validate all of them, and once on a thread that reads ahead of
//! the upload.

use anyhow::bail;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpointed;
use super::input_line::InputLine;
use super::interrupt::{self, Interrupted};
use super::source::Source;

/// Maximum number of lines that are read but not sent; the sockets buffer more anyway.
const READ_AHEAD: usize = 64;

/// Result of reading all inputs.
#[derive(Debug, Default)]
pub struct Counted {
    /// Number of inputs.
    pub total: u64,
    /// Number of inputs that have no result yet.
    pub missing: u64,
    /// Fields of the spec that a JSON file holds beside `inputs`.
    pub spec_fields: Map<String, Value>,
}

/// Reads all inputs, and passes those without a result to `on_missing`.
///
/// # Errors
/// At the first input that is invalid or has changed since the earlier run; if the run is
/// interrupted.
pub fn read_missing(
    source: &Source,
    earlier: &Checkpointed,
    stop: &CancellationToken,
    mut on_missing: impl FnMut(InputLine) -> anyhow::Result<()>,
) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    counted.spec_fields = source.read(&mut |json| {
        interrupt::check(stop)?;
        let line = InputLine::new(counted.total, json);
        counted.total += 1;
        if earlier.is_missing(&line)? {
            counted.missing += 1;
            on_missing(line)?;
        }
        Ok(())
    })?;
    earlier.check_total(counted.total)?;
    Ok(counted)
}

/// Lines of the reading thread, and its result.
pub struct Reading {
    pub lines: mpsc::Receiver<InputLine>,
    pub end: oneshot::Receiver<anyhow::Result<Counted>>,
}

/// Starts the reading thread. A blocking task of the runtime would delay the end of the process
/// while it waits for standard input; a thread does not.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(
    source: Source,
    earlier: Checkpointed,
    stop: CancellationToken,
) -> std::io::Result<Reading> {
    let (sender, lines) = mpsc::channel(READ_AHEAD);
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            // A closed channel means that the run is over.
            let read = read_missing(&source, &earlier, &stop, |line| {
                sender.blocking_send(line).map_err(|_| Interrupted.into())
            });
            drop(ended.send(read.and_then(|counted| reject_spec_fields(counted, &source))));
        })?;
    Ok(Reading { lines, end })
}

/// Rejects fields of the spec on standard input: its inputs are being sent before the fields after
/// them are read.
fn reject_spec_fields(counted: Counted, source: &Source) -> anyhow::Result<Counted> {
    if source.is_stdin() && !counted.spec_fields.is_empty() {
        let names: Vec<_> = counted
            .spec_fields
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        bail!(
            "standard input has {} beside `inputs`: use flags instead, or read from a file",
            names.join(", ")
        );
    }
    Ok(counted)
}
