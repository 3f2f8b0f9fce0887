//! Input sources: every format is converted to the same lines of JSON, one per input.

mod folder;
mod input;
mod json;
mod ndjson;
mod table;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use super::args::Args;
use super::format::InputFormat;
use input::OnInput;

/// Source of the inputs and its format.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    format: InputFormat,
    columns: table::Columns,
}

impl Source {
    /// Determines the source and its format.
    ///
    /// # Errors
    /// If the file is missing, or its format cannot be derived from its name.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let path = args.file.clone();
        let is_tabbed = path.extension().is_some_and(|ending| ending == "tsv");
        let columns = table::Columns {
            text: args.text_column.clone(),
            id: args.id_column.clone(),
            delimiter: args.delimiter.unwrap_or(if is_tabbed { '\t' } else { ',' }),
        };
        let mut source = Self {
            path,
            format: InputFormat::Ndjson,
            columns,
        };
        if !source.is_stdin() {
            source
                .path
                .metadata()
                .with_context(|| format!("cannot read {}", source.path.display()))?;
        }
        source.format = match args.input_format {
            Some(format) => format,
            None => source.format_of_name()?,
        };
        Ok(source)
    }

    /// Derives the format from the file name.
    fn format_of_name(&self) -> anyhow::Result<InputFormat> {
        if self.is_stdin() {
            return Ok(InputFormat::Ndjson);
        }
        if self.path.is_dir() {
            return Ok(InputFormat::Folder);
        }
        match self.path.extension().and_then(|ending| ending.to_str()) {
            Some("ndjson" | "jsonl") => Ok(InputFormat::Ndjson),
            Some("json") => Ok(InputFormat::Json),
            Some("csv" | "tsv") => Ok(InputFormat::Csv),
            _ => bail!(
                "the input format is not clear from the name {}; set it with --input-format",
                self.path.display()
            ),
        }
    }

    /// Returns true for standard input, which can be read only once.
    pub fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// Returns the source's name for messages.
    pub fn name(&self) -> String {
        if self.is_stdin() {
            "standard input".to_owned()
        } else {
            self.path.display().to_string()
        }
    }

    /// Returns the path of the file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes each input to `on_input`, in order. Returns the fields that a JSON file holds beside
    /// `inputs`.
    ///
    /// # Errors
    /// At the first invalid input, naming its line; errors of `on_input`.
    pub fn read(&self, on_input: &mut OnInput) -> anyhow::Result<Map<String, Value>> {
        let name = self.name();
        match self.format {
            InputFormat::Ndjson => ndjson::read(self.open()?, &name, on_input)?,
            InputFormat::Json => return json::read(self.open()?, &name, on_input),
            InputFormat::Csv => table::read(self.open()?, &name, &self.columns, on_input)?,
            InputFormat::Folder => folder::read(&self.path, on_input)?,
        }
        Ok(Map::new())
    }

    /// Opens the file or standard input.
    fn open(&self) -> anyhow::Result<BufReader<Box<dyn Read>>> {
        const BUFFER_BYTES: usize = 256 * 1024;
        let reader: Box<dyn Read> = if self.is_stdin() {
            Box::new(std::io::stdin())
        } else {
            Box::new(
                File::open(&self.path)
                    .with_context(|| format!("cannot read {}", self.path.display()))?,
            )
        };
        Ok(BufReader::with_capacity(BUFFER_BYTES, reader))
    }
}
