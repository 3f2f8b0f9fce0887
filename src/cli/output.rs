//! What is written in the end: all results in the order of their inputs.

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

/// Where the output goes, and what is kept on the way.
#[derive(Debug, Clone)]
pub struct Target {
    /// `None`: standard output.
    pub path: Option<PathBuf>,
    pub form: OutputFormat,
    /// `None`: results go straight to standard output, as they come.
    pub journal: Option<PathBuf>,
}

impl Target {
    /// # Errors
    /// When the form, or where to keep results, cannot be told.
    pub fn new(args: &Args, source: &Source) -> anyhow::Result<Self> {
        let path = args.output.clone().filter(|path| path != Path::new("-"));
        let form = match (args.output_format, &path) {
            (Some(form), _) => form,
            (None, Some(path)) => guess(path)?,
            (None, None) => OutputFormat::Ndjson,
        };
        let journal = match (&args.journal, &path) {
            (Some(journal), _) => Some(journal.clone()),
            (None, Some(path)) => Some(with_ending(path, "partial")),
            (None, None) if form == OutputFormat::Ndjson => None,
            (None, None) if source.is_stdin() => {
                bail!(
                    "results have to be kept until all are there: say where with --journal, or write to a file with --output"
                )
            }
            (None, None) => Some(with_ending(source.path(), "partial")),
        };
        Ok(Self {
            path,
            form,
            journal,
        })
    }

    /// The output as it is called in a sentence.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// Writes it: a file aside, and then renamed, so that one that is there is whole. `properties` are the first columns of a table.
    ///
    /// # Errors
    /// When it cannot be written, or is told to stop.
    pub fn write(
        &self,
        journal: &Checkpoint,
        properties: &[String],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.path else {
            let mut out = BufWriter::new(std::io::stdout().lock());
            self.write_to(journal, properties, &mut out, stop)
                .context("cannot write to standard output")?;
            return out.flush().context("cannot write to standard output");
        };
        let aside = with_ending(path, "new");
        let write = || {
            let mut out = BufWriter::new(File::create(&aside)?);
            self.write_to(journal, properties, &mut out, stop)?;
            out.into_inner()?.sync_all()?;
            anyhow::Ok(std::fs::rename(&aside, path)?)
        };
        write()
            .inspect_err(|_| drop(std::fs::remove_file(&aside)))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn guess(path: &Path) -> anyhow::Result<OutputFormat> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("ndjson" | "jsonl") => Ok(OutputFormat::Ndjson),
        Some("json") => Ok(OutputFormat::Json),
        Some("csv") => Ok(OutputFormat::Csv),
        _ => bail!(
            "the name {} does not tell how it is to be written; say it with --output-format",
            path.display()
        ),
    }
}

/// `people.csv` with `partial` is `people.csv.partial`.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    // Of a folder without the slash, or the file would be within it.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

impl Target {
    fn write_to(
        &self,
        journal: &Checkpoint,
        properties: &[String],
        out: &mut impl Write,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if self.form == OutputFormat::Csv {
            return table::write(journal, properties, out, stop);
        }
        let (open, between, close) = if self.form == OutputFormat::Json {
            ("[", ",\n", "]\n")
        } else {
            ("", "\n", "\n")
        };
        let mut results = journal.results()?;
        write!(out, "{open}")?;
        let mut is_first = true;
        while let Some(result) = results.next()? {
            interrupt::check(stop)?;
            let before = if std::mem::take(&mut is_first) {
                ""
            } else {
                between
            };
            write!(out, "{before}{result}")?;
        }
        if self.form == OutputFormat::Json || !is_first {
            write!(out, "{close}")?;
        }
        Ok(())
    }
}
