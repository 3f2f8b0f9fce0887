//! Reads the inputs: once to see that all can be sent, and once on a thread of its own, ahead of what is sent.

use anyhow::bail;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpointed;
use super::input_line::InputLine;
use super::interrupt::{self, Interrupted};
use super::source::Source;

/// Lines that are read and not yet sent; more wait in the sockets' buffers anyway.
const AHEAD: usize = 64;

/// All inputs, as they were counted.
#[derive(Debug, Default)]
pub struct Counted {
    pub total: u64,
    /// Those that are still to be asked.
    pub wanted: u64,
    /// What a JSON file has beside them.
    pub beside: Map<String, Value>,
}

/// Reads all inputs; `each` gets those that are still to be asked.
///
/// # Errors
/// At the first that is none, or not the one that was asked before; when told to stop.
pub fn walk(
    source: &Source,
    known: &Checkpointed,
    stop: &CancellationToken,
    mut each: impl FnMut(InputLine) -> anyhow::Result<()>,
) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    counted.beside = source.read(&mut |json| {
        interrupt::check(stop)?;
        let line = InputLine::new(counted.total, json);
        counted.total += 1;
        if known.wants(&line)? {
            counted.wanted += 1;
            each(line)?;
        }
        Ok(())
    })?;
    known.check_total(counted.total)?;
    Ok(counted)
}

/// The reading thread: its lines, and how it ended.
pub struct Reading {
    pub lines: mpsc::Receiver<InputLine>,
    pub end: oneshot::Receiver<anyhow::Result<Counted>>,
}

/// Starts it. A thread that waits for standard input must not hold up the end of the process, as a task of the runtime would.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    source: Source,
    known: Checkpointed,
    stop: CancellationToken,
) -> std::io::Result<Reading> {
    let (sender, lines) = mpsc::channel(AHEAD);
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            // Nobody takes the lines any more: the run is over.
            let read = walk(&source, &known, &stop, |line| {
                sender.blocking_send(line).map_err(|_| Interrupted.into())
            });
            drop(ended.send(read.and_then(|counted| alone(counted, &source))));
        })?;
    Ok(Reading { lines, end })
}

/// What is read only once is being sent when the fields after its inputs are seen.
fn alone(counted: Counted, source: &Source) -> anyhow::Result<Counted> {
    if source.is_stdin() && !counted.beside.is_empty() {
        let names: Vec<_> = counted
            .beside
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        bail!(
            "standard input has {} beside its inputs: say it with flags, or read from a file",
            names.join(", ")
        );
    }
    Ok(counted)
}
