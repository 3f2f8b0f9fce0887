//! What is read: each form as the same lines of JSON, one for each input.

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

/// Where the inputs come from, and in which form.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    form: InputFormat,
    columns: table::Columns,
}

impl Source {
    /// # Errors
    /// When it is not there, or its form cannot be told.
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
            form: InputFormat::Ndjson,
            columns,
        };
        if !source.is_stdin() {
            source
                .path
                .metadata()
                .with_context(|| format!("cannot read {}", source.path.display()))?;
        }
        source.form = match args.input_format {
            Some(form) => form,
            None => source.guess()?,
        };
        Ok(source)
    }

    fn guess(&self) -> anyhow::Result<InputFormat> {
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
                "the name {} does not tell how it is written; say it with --input-format",
                self.path.display()
            ),
        }
    }

    /// Whether it can be read only once.
    pub fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    pub fn name(&self) -> String {
        if self.is_stdin() {
            "standard input".to_owned()
        } else {
            self.path.display().to_string()
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands each input to `each`, in order. What a JSON file has beside them is returned.
    ///
    /// # Errors
    /// At the first input that is none, naming its line; and whatever `each` says.
    pub fn read(&self, each: &mut OnInput) -> anyhow::Result<Map<String, Value>> {
        let name = self.name();
        match self.form {
            InputFormat::Ndjson => ndjson::read(self.open()?, &name, each)?,
            InputFormat::Json => return json::read(self.open()?, &name, each),
            InputFormat::Csv => table::read(self.open()?, &name, &self.columns, each)?,
            InputFormat::Folder => folder::read(&self.path, each)?,
        }
        Ok(Map::new())
    }

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
