//! Output of a run: all results in input order, as NDJSON, JSON or CSV, written atomically.

mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::args::Args;
use super::checkpoint::Checkpoint;
use super::format::OutputFormat;
use super::interrupt;
use super::source::Source;

/// Destination of the output, and of the checkpoint on the way.
#[derive(Debug, Clone)]
pub struct Target {
    /// Path of the output file. `None`: standard output.
    pub path: Option<PathBuf>,
    pub format: OutputFormat,
    /// Path of the checkpoint. `None`: results go straight to standard output in completion order.
    pub checkpoint: Option<PathBuf>,
}

impl Target {
    /// Determines the output's path and format and the checkpoint's path.
    ///
    /// # Errors
    /// If the format or the checkpoint's path cannot be derived from the arguments.
    pub fn new(args: &Args, source: &Source) -> anyhow::Result<Self> {
        let path = args.output.clone().filter(|path| path != Path::new("-"));
        let format = match (args.output_format, &path) {
            (Some(format), _) => format,
            (None, Some(path)) => format_of(path)?,
            (None, None) => OutputFormat::Ndjson,
        };
        let checkpoint = match (&args.checkpoint, &path) {
            (Some(checkpoint), _) => Some(checkpoint.clone()),
            (None, Some(path)) => Some(with_suffix(path, "partial")),
            (None, None) if format == OutputFormat::Ndjson => None,
            (None, None) if source.is_stdin() => {
                bail!(
                    "this output format needs a checkpoint until all results are there: name it with --checkpoint, or write to a file with --output"
                )
            }
            (None, None) => Some(with_suffix(source.path(), "partial")),
        };
        Ok(Self {
            path,
            format,
            checkpoint,
        })
    }

    /// Returns the output's name for messages.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// Writes the output to a temporary file and renames it, so that an existing output is always
    /// complete. `properties` are the first columns of a table.
    ///
    /// # Errors
    /// If the output cannot be written, or the run is interrupted.
    pub fn write(
        &self,
        checkpoint: &Checkpoint,
        properties: &[String],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.path else {
            let mut out = BufWriter::new(std::io::stdout().lock());
            self.write_to(checkpoint, properties, &mut out, stop)
                .context("cannot write to standard output")?;
            return out.flush().context("cannot write to standard output");
        };
        let temporary = with_suffix(path, "new");
        let write = || {
            let mut out = BufWriter::new(File::create(&temporary)?);
            self.write_to(checkpoint, properties, &mut out, stop)?;
            out.into_inner()?.sync_all()?;
            anyhow::Ok(std::fs::rename(&temporary, path)?)
        };
        write()
            .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Derives the format from the file name.
fn format_of(path: &Path) -> anyhow::Result<OutputFormat> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("ndjson" | "jsonl") => Ok(OutputFormat::Ndjson),
        Some("json") => Ok(OutputFormat::Json),
        Some("csv") => Ok(OutputFormat::Csv),
        _ => bail!(
            "the output format is not clear from the name {}; set it with --output-format",
            path.display()
        ),
    }
}

/// Appends a suffix to a path: `people.csv` with `partial` is `people.csv.partial`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // A folder's trailing slash is dropped, or the file would be within the folder.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

impl Target {
    /// Writes all results in the output's format.
    fn write_to(
        &self,
        checkpoint: &Checkpoint,
        properties: &[String],
        out: &mut impl Write,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if self.format == OutputFormat::Csv {
            return table::write(checkpoint, properties, out, stop);
        }
        let (open, delimiter, close) = if self.format == OutputFormat::Json {
            ("[", ",\n", "]\n")
        } else {
            ("", "\n", "\n")
        };
        let mut results = checkpoint.results()?;
        write!(out, "{open}")?;
        let mut is_first = true;
        while let Some(result) = results.next()? {
            interrupt::check(stop)?;
            let separator = if std::mem::take(&mut is_first) {
                ""
            } else {
                delimiter
            };
            write!(out, "{separator}{result}")?;
        }
        if self.format == OutputFormat::Json || !is_first {
            write!(out, "{close}")?;
        }
        Ok(())
    }
}
