//! Output of a run: all results in input order, as NDJSON, JSON or CSV, written atomically.

mod table;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::batch_args::Args;
use super::format::OutputFormat;
use super::results::Results;
use super::source::Source;
pub use table::KnownColumns;

/// Destination of the output, and the folder of the run.
#[derive(Debug, Clone)]
pub struct Target {
    /// Path of the output file. `None`: standard output.
    pub path: Option<PathBuf>,
    pub format: OutputFormat,
    /// Folder that makes the run resumable. `None`: results go straight to standard output in completion order.
    pub folder: Option<PathBuf>,
}

impl Target {
    /// Determines the output's path and format and the run's folder.
    ///
    /// # Errors
    /// If the format or the folder cannot be derived from the arguments.
    pub fn new(args: &Args, source: &Source) -> anyhow::Result<Self> {
        if args.html.is_some() && source.is_stdin() {
            bail!("--html reads the inputs a second time; save standard input to a file first");
        }
        let Self { path, format, .. } =
            Self::without_folder(args.output.clone(), args.output_format)?;
        let folder = match (&args.checkpoint, &path) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(path)) => Some(with_suffix(path, "partial")),
            (None, None) if args.html.is_some() => {
                args.html.as_ref().map(|path| with_suffix(path, "partial"))
            }
            (None, None) if format == OutputFormat::Ndjson => None,
            (None, None) if source.is_stdin() => {
                bail!(
                    "this output format needs a folder until all results are there: name it with --checkpoint, or write to a file with --output"
                )
            }
            (None, None) => Some(with_suffix(source.path(), "partial")),
        };
        Ok(Self {
            path,
            format,
            folder,
        })
    }

    /// Determines the path and format of an output that needs no folder.
    ///
    /// # Errors
    /// If the format cannot be derived from the arguments.
    pub fn without_folder(
        output: Option<PathBuf>,
        format: Option<OutputFormat>,
    ) -> anyhow::Result<Self> {
        let path = output.filter(|path| path != Path::new("-"));
        let format = match (format, &path) {
            (Some(format), _) => format,
            (None, Some(path)) => format_of(path)?,
            (None, None) => OutputFormat::Ndjson,
        };
        Ok(Self {
            path,
            format,
            folder: None,
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
    /// complete.
    ///
    /// # Errors
    /// If the output cannot be written, the results cannot be read, or the run is interrupted.
    pub async fn write(
        &self,
        results: &mut Results<'_, '_>,
        columns: &KnownColumns,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.path else {
            let mut out = BufWriter::new(std::io::stdout());
            self.write_to(results, columns, &mut out)
                .await
                .context("cannot write to standard output")?;
            return out.flush().context("cannot write to standard output");
        };
        let temporary = with_suffix(path, "new");
        let write = async {
            let mut out = BufWriter::new(File::create(&temporary)?);
            self.write_to(results, columns, &mut out).await?;
            out.into_inner()?.sync_all()?;
            anyhow::Ok(std::fs::rename(&temporary, path)?)
        };
        write
            .await
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
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // A folder's trailing slash is dropped, or the file would be within the folder.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

impl Target {
    /// Writes all results in the output's format.
    async fn write_to(
        &self,
        results: &mut Results<'_, '_>,
        columns: &KnownColumns,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        if self.format == OutputFormat::Csv {
            return table::write(results, columns, out).await;
        }
        let (open, delimiter, close) = if self.format == OutputFormat::Json {
            ("[", ",\n", "]\n")
        } else {
            ("", "\n", "\n")
        };
        write!(out, "{open}")?;
        let mut is_first = true;
        while let Some(result) = results.next().await? {
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
