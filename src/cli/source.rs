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

use super::batch_args::Args;
use super::format::InputFormat;
use super::utf8::Utf8Reader;
use input::{LimitReached, OnInput};
use table::TextChoice;

/// Source of the inputs and its format.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    format: InputFormat,
    columns: table::Columns,
    /// Maximum number of inputs that are read.
    limit: Option<u64>,
}

/// Parts of a source beside its inputs.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Fields of the spec that a JSON file holds beside `inputs`.
    pub spec_fields: Map<String, Value>,
    /// Names of the columns of a table, which come back as metadata of the results.
    pub columns: Vec<String>,
}

impl Source {
    /// Determines the source and its format.
    ///
    /// # Errors
    /// If the file is missing, its format cannot be derived from its name, or a flag does not go with the format.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let path = args.file.clone();
        let is_tabbed = path.extension().is_some_and(|ending| ending == "tsv");
        let columns = table::Columns {
            text: match (&args.template, args.text_column.as_slice()) {
                (Some(template), _) => TextChoice::Template(template.clone()),
                (None, []) => TextChoice::Usual,
                (None, names) => TextChoice::Columns(names.to_vec()),
            },
            id: args.id_column.clone(),
            delimiter: args.delimiter.or_else(|| is_tabbed.then_some('\t')),
            are_kept: !args.drop_columns,
        };
        let mut source = Self {
            path,
            format: InputFormat::Ndjson,
            columns,
            limit: args.limit,
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
        let table_flags = args.table_flags();
        if source.format != InputFormat::Csv && !table_flags.is_empty() {
            bail!(
                "{} works on tables only, and {} is not read as a table; if it is CSV, add --input-format csv",
                table_flags.join(", "),
                source.name()
            );
        }
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

    /// Passes each input to `on_input`, in order, up to the limit.
    ///
    /// # Errors
    /// At the first invalid input, naming its line; errors of `on_input`.
    pub fn read_inputs(&self, on_input: &mut OnInput) -> anyhow::Result<Surroundings> {
        let Some(limit) = self.limit else {
            return self.read_all(on_input);
        };
        // The fields of a JSON file may follow the inputs.
        let reads_on = self.format == InputFormat::Json && !self.is_stdin();
        let mut count = 0;
        let read = self.read_all(&mut |json| {
            count += 1;
            if count <= limit {
                on_input(json)?;
            }
            if count >= limit && !reads_on {
                return Err(LimitReached.into());
            }
            Ok(())
        });
        match read {
            Err(error) if error.is::<LimitReached>() => Ok(Surroundings::default()),
            read => read,
        }
    }

    /// Passes each input to `on_input`, in order.
    fn read_all(&self, on_input: &mut OnInput) -> anyhow::Result<Surroundings> {
        let name = self.name();
        let mut surroundings = Surroundings::default();
        match self.format {
            InputFormat::Ndjson => ndjson::read_ndjson(self.open()?, &name, on_input)?,
            InputFormat::Json => {
                surroundings.spec_fields = json::read_json(self.open()?, &name, on_input)?;
            }
            InputFormat::Csv => {
                surroundings.columns =
                    table::read_csv(self.open()?, &name, &self.columns, on_input)?;
            }
            InputFormat::Folder => folder::read_folder(&self.path, on_input)?,
        }
        Ok(surroundings)
    }

    /// Opens the file or standard input.
    fn open(&self) -> anyhow::Result<BufReader<Utf8Reader<Box<dyn Read>>>> {
        const BUFFER_BYTES: usize = 256 * 1024;
        let reader: Box<dyn Read> = if self.is_stdin() {
            Box::new(std::io::stdin())
        } else {
            Box::new(
                File::open(&self.path)
                    .with_context(|| format!("cannot read {}", self.path.display()))?,
            )
        };
        Ok(BufReader::with_capacity(
            BUFFER_BYTES,
            Utf8Reader::new(reader),
        ))
    }
}
