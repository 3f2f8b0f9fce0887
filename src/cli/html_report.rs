//! Report of a run as one page of HTML: each text with its values highlighted, and those that it does not state.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use evidence::html::{self, Report};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::inputs::{self, spawn_reader};
use super::interrupt::Interrupted;
use super::output::with_suffix;
use super::results::Results;
use super::source::Source;
use crate::types::{Item, LeafEvidence, OffsetUnit};

/// Maximum number of inputs that are read ahead of their results.
const READ_AHEAD: usize = 64;

/// Result of an item, as far as the report shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    index: u64,
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    candidate: Value,
    #[serde(default)]
    evidence: Vec<LeafEvidence>,
    error: Option<ShownError>,
}

#[derive(Debug, Deserialize)]
struct ShownError {
    detail: String,
}

/// Writes the report of all results to a temporary file and renames it. The inputs are read once more beside the results, so
/// that neither has to be in memory.
///
/// # Errors
/// If the report cannot be written, inputs or results cannot be read, or the run is interrupted.
pub async fn write(
    path: &Path,
    source: &Source,
    results: &mut Results<'_, '_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let temporary = with_suffix(path, "new");
    let write = async {
        let title = format!("Evidence: {}", source.name());
        let out = BufWriter::new(File::create(&temporary)?);
        let mut report = Report::new(out, &title)?;
        write_items(&mut report, source, results, stop).await?;
        report.finish()?.into_inner()?.sync_all()?;
        anyhow::Ok(std::fs::rename(&temporary, path)?)
    };
    write
        .await
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", path.display()))
}

async fn write_items(
    report: &mut Report<impl Write>,
    source: &Source,
    results: &mut Results<'_, '_>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut inputs = read_inputs(source.clone(), stop.clone())?;
    while let Some(result) = results.next().await? {
        let result: Shown = serde_json::from_str(&result).context("a result cannot be read")?;
        let item = loop {
            let Some((index, input)) = inputs.recv().await.transpose()? else {
                bail!("{} has changed: it has fewer inputs now", source.name());
            };
            if index == result.index {
                break serde_json::from_str::<Item>(&input)?;
            }
        };
        push(report, &item, &result)?;
    }
    Ok(())
}

fn push(report: &mut Report<impl Write>, item: &Item, result: &Shown) -> std::io::Result<()> {
    let mut name = match &item.id {
        Some(id) => id.clone(),
        None => (result.index + 1).to_string(),
    };
    if let Some(error) = &result.error {
        name = format!("{name} ({}: {})", result.status, error.detail);
    } else if result.status != "succeeded" {
        name = format!("{name} ({})", result.status);
    }
    report.push(&html::Item {
        name: &name,
        text: &item.content.0,
        value: if result.data.is_null() {
            &result.candidate
        } else {
            &result.data
        },
        evidence: &result.evidence,
        unit: OffsetUnit::CodePoint,
    })
}

type Input = anyhow::Result<(u64, String)>;

/// Starts a thread that reads the inputs again, each with its index.
fn read_inputs(source: Source, stop: CancellationToken) -> std::io::Result<mpsc::Receiver<Input>> {
    let (sender, inputs) = mpsc::channel(READ_AHEAD);
    spawn_reader(move || {
        let read = inputs::scan(&source, &[], &stop, |index, json, _| {
            // A closed channel means that nobody waits for more.
            sender
                .blocking_send(Ok((index, json.to_owned())))
                .map_err(|_| Interrupted.into())
        });
        if let Err(error) = read {
            drop(sender.blocking_send(Err(error)));
        }
    })?;
    Ok(inputs)
}
