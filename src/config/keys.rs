//! API keys of a section: given directly, or in an environment variable (`…_env`) or a file
//! (`…_file`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    error::Error,
    mask,
    parsers::{self, Parsed},
    section::Section,
    setting::Setting,
};

/// File with one API key or several.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// Path, relative to the working folder of the process or absolute.
    pub path: PathBuf,
    /// True for one key per line (`api_keys_file`), false for one key and nothing else.
    is_list: bool,
}

/// Reads the keys of a file again.
///
/// # Errors
/// The reason why the file cannot be read or is invalid, without its content.
pub fn read_key_file(file: &KeyFile) -> Result<Vec<SecretString>, String> {
    let text = std::fs::read_to_string(&file.path).map_err(|error| error.to_string())?;
    if file.is_list {
        keys_of_lines(&text)
    } else {
        mask::parse_key(text.trim()).map(|key| vec![key])
    }
}

/// Text with one or more keys, by its source.
enum KeySource {
    Variable(String),
    File(String),
}

/// Reads one key. A file holds the key and at most white space around it.
pub(super) fn read_key(
    section: &Section<'_>,
    key: &str,
    setting: &Setting,
) -> Result<SecretString, Error> {
    let (source, parsed) = match key_source(section, key, setting)? {
        None => return section.parse(key, setting, |setting| mask::key_and_masked(setting.text())),
        Some(KeySource::Variable(text)) => ("variable", mask::parse_key(&text)),
        Some(KeySource::File(text)) => ("file", mask::parse_key(text.trim())),
    };
    parsed.map_err(|why| refuse(section, key, setting, source, &why))
}

/// Reads several different keys. An array holds one per element, a variable separates them by
/// commas. A file holds one per line; blank lines and lines that begin with `#` are skipped.
pub(super) fn read_keys(
    section: &Section<'_>,
    key: &str,
    setting: &Setting,
) -> Result<Vec<SecretString>, Error> {
    let (source, parsed) = match key_source(section, key, setting)? {
        None => return section.parse(key, setting, keys_and_masked),
        Some(KeySource::Variable(text)) => ("variable", distinct(text.split(',').map(str::trim))),
        Some(KeySource::File(text)) => ("file", keys_of_lines(&text)),
    };
    parsed.map_err(|why| refuse(section, key, setting, source, &why))
}

/// Parses one key per line.
fn keys_of_lines(text: &str) -> Result<Vec<SecretString>, String> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    if lines.peek().is_none() {
        return Err("holds no key".to_owned());
    }
    distinct(lines)
}

/// Returns the file that a `…_file` key names. `None`: the keys are not in a file.
pub(super) fn key_file(key: &str, setting: &Setting) -> Option<KeyFile> {
    let path = setting.text().filter(|_| key.ends_with("_file"))?;
    Some(KeyFile {
        path: path.into(),
        is_list: key == "api_keys_file",
    })
}

/// Returns the text that a `…_env` or `…_file` key names. `None`: the setting holds the keys
/// itself.
fn key_source(
    section: &Section<'_>,
    key: &str,
    setting: &Setting,
) -> Result<Option<KeySource>, Error> {
    if key.ends_with("_env") {
        let name = section.parse(key, setting, variable_name)?;
        let text = section.reader.environment.get(&name);
        let text = text.ok_or_else(|| {
            section.refuse(key, &setting.origin, "names a variable that is not set")
        })?;
        return Ok(Some(KeySource::Variable(text.clone())));
    }
    if key.ends_with("_file") {
        let path = section.parse(key, setting, parsers::path)?;
        return section
            .reader
            .read_file(&path, &setting.origin)
            .map(|text| Some(KeySource::File(text)));
    }
    Ok(None)
}

/// Returns the error for a key whose variable or file holds something invalid.
fn refuse(section: &Section<'_>, key: &str, setting: &Setting, source: &str, why: &str) -> Error {
    Error::new(
        &setting.origin,
        format!("the {source} of `{}` {why}", section.name(key)),
    )
}

/// Parses the name of an environment variable. The message does not repeat it: it may be a key in
/// the wrong place.
fn variable_name(setting: &Setting) -> Parsed<String> {
    let fits = |text: &&str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let name = setting
        .text()
        .filter(fits)
        .ok_or("must be the name of an environment variable")?;
    Ok((name.to_owned(), name.into()))
}

/// Parses an array of keys, and masks them for printing.
fn keys_and_masked(setting: &Setting) -> Parsed<Vec<SecretString>> {
    let keys = distinct(setting.list().ok_or("must be an array of strings")?)?;
    let shown = keys.iter().map(mask::masked).collect::<Vec<_>>();
    Ok((keys, shown.into()))
}

/// Parses keys and rejects duplicates.
fn distinct<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<SecretString>, String> {
    let keys = texts
        .into_iter()
        .map(mask::parse_key)
        .collect::<Result<Vec<_>, _>>()?;
    let unique: BTreeSet<_> = keys.iter().map(SecretString::expose_secret).collect();
    if unique.len() < keys.len() {
        Err("holds the same key twice".to_owned())
    } else {
        Ok(keys)
    }
}
