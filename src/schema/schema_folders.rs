//! Folders with schemas: the operator's, whose files must all be usable, and those of what was stored over HTTP.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compiled::Schema;
use super::stored_schema::{Entry, Source, read_text};
use super::version_store::VersionStore;
use crate::types::Error;

/// Rule for the name of a schema, for errors.
pub const NAME_RULE: &str =
    "a schema's name has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit";
/// Pattern of a schema's name, as the API document states it.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
/// EIO and ELOOP of Linux: a part of the disk cannot be read, and a link that leads to itself.
const FILE_ERRORS: [i32; 2] = [5, 40];

/// Entries by name.
pub type Names = BTreeMap<String, Entry>;

/// Error of loading the configured folder at startup.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a schema that can be served: {source}")]
    Schema { path: PathBuf, source: Error },
    #[error("{path}: {rule}", rule = NAME_RULE)]
    Name { path: PathBuf },
}

/// Schema of the configured folder.
#[derive(Debug)]
pub struct FolderSchema {
    pub entry: Entry,
    /// Schema as compact JSON text.
    pub text: Arc<str>,
}

/// Returns true for a valid schema name: [`NAME_PATTERN`].
pub fn is_valid_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

/// Reads the schemas of the configured folder.
///
/// # Errors
/// If a file cannot be read, its name is invalid, or it is no usable schema.
pub fn read_configured(dir: &Path) -> Result<BTreeMap<String, FolderSchema>, RegistryError> {
    let cannot_read = |path: &Path, source| RegistryError::Read {
        path: path.to_owned(),
        source,
    };
    let mut schemas = BTreeMap::new();
    for path in files_in(dir).map_err(|error| cannot_read(dir, error))? {
        let Some(name) = name_of(&path) else {
            return Err(RegistryError::Name { path });
        };
        let read = std::fs::read_to_string(&path)
            .and_then(|text| Ok((text, path.metadata()?.modified()?)));
        let (text, updated_at) = read.map_err(|error| cannot_read(&path, error))?;
        let schema =
            Schema::compile(&text).map_err(|source| RegistryError::Schema { path, source })?;
        let text = schema.raw().get();
        let schema = FolderSchema {
            entry: Entry::new(text, updated_at, Source::Folder),
            text: text.into(),
        };
        schemas.insert(name, schema);
    }
    Ok(schemas)
}

/// Reads the schemas in a folder of what was stored over HTTP. There are none if there is no folder. A file that cannot be one of them
/// is skipped, and logged: it must not keep the others from being used.
///
/// # Errors
/// If the folder cannot be read, or a file cannot for a reason that is not its own, such as the limit of open files.
pub fn read_stored(dir: &Path) -> std::io::Result<Names> {
    let files = match files_in(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    let mut entries = Names::new();
    for path in files {
        match read_entry(&path) {
            Ok((name, entry)) => drop(entries.insert(name, entry)),
            Err(error) if is_of_file(&error) => {
                let file = path.display();
                tracing::error!(%error, %file, "a file in the folder of registered schemas is skipped");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// Reads a schema that was stored over HTTP, and was compiled then.
fn read_entry(path: &Path) -> std::io::Result<(String, Entry)> {
    let name =
        name_of(path).ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, NAME_RULE))?;
    let text = read_text(path)?;
    let mut entry = Entry::new(&text, path.metadata()?.modified()?, Source::Api);
    entry.version_bytes = VersionStore::of_schema_file(path).bytes();
    Ok((name, entry))
}

/// Returns true for an error of this file alone.
fn is_of_file(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidData
    ) || error
        .raw_os_error()
        .is_some_and(|code| FILE_ERRORS.contains(&code))
}

/// Returns the name of a schema's file, if it is valid.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    is_valid_name(name).then(|| name.to_owned())
}

/// Returns the paths of the files `*.json` in a folder.
fn files_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let path = file?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}
