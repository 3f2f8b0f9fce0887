//! Keys as a section says them: itself, or by naming a variable (`…_env`) or a file (`…_file`) that holds them.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    error::Error,
    mask,
    parsers::{self, Parsed},
    section::Section,
    setting::Setting,
};

/// A text that holds keys, and what holds it.
enum Holder {
    Variable(String),
    File(String),
}

/// One key. A file holds nothing else but white space at its ends.
pub(super) fn one(
    section: &Section<'_>,
    key: &str,
    setting: &Setting,
) -> Result<SecretString, Error> {
    let (holder, parsed) = match holder(section, key, setting)? {
        None => return section.parse(key, setting, |setting| mask::shown_key(setting.text())),
        Some(Holder::Variable(text)) => ("variable", mask::key(&text)),
        Some(Holder::File(text)) => ("file", mask::key(text.trim())),
    };
    parsed.map_err(|why| refuse(section, key, setting, holder, &why))
}

/// Several keys, none twice: in an array; in a variable, comma-separated; in a file, one a line, where blank lines and lines
/// that begin with `#` are skipped.
pub(super) fn several(
    section: &Section<'_>,
    key: &str,
    setting: &Setting,
) -> Result<Vec<SecretString>, Error> {
    let (holder, parsed) = match holder(section, key, setting)? {
        None => return section.parse(key, setting, shown_keys),
        Some(Holder::Variable(text)) => ("variable", distinct(text.split(',').map(str::trim))),
        Some(Holder::File(text)) => {
            let mut lines = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .peekable();
            let empty = lines.peek().is_none();
            (
                "file",
                if empty {
                    Err("holds no key".to_owned())
                } else {
                    distinct(lines)
                },
            )
        }
    };
    parsed.map_err(|why| refuse(section, key, setting, holder, &why))
}

fn holder(section: &Section<'_>, key: &str, setting: &Setting) -> Result<Option<Holder>, Error> {
    if key.ends_with("_env") {
        let name = section.parse(key, setting, variable)?;
        let text = section.reader.environment.get(&name);
        let text = text.ok_or_else(|| {
            section.refuse(key, &setting.origin, "names a variable that is not set")
        })?;
        return Ok(Some(Holder::Variable(text.clone())));
    }
    if key.ends_with("_file") {
        let path = section.parse(key, setting, parsers::path)?;
        return section
            .reader
            .read_file(&path, &setting.origin)
            .map(|text| Some(Holder::File(text)));
    }
    Ok(None)
}

fn refuse(section: &Section<'_>, key: &str, setting: &Setting, holder: &str, why: &str) -> Error {
    Error::new(
        &setting.origin,
        format!("the {holder} of `{}` {why}", section.name(key)),
    )
}

/// No message repeats the name: it may be the key itself, put under the wrong name.
fn variable(setting: &Setting) -> Parsed<String> {
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

fn shown_keys(setting: &Setting) -> Parsed<Vec<SecretString>> {
    let keys = distinct(setting.list().ok_or("must be an array of strings")?)?;
    let shown = keys.iter().map(mask::masked).collect::<Vec<_>>();
    Ok((keys, shown.into()))
}

fn distinct<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<SecretString>, String> {
    let keys = texts
        .into_iter()
        .map(mask::key)
        .collect::<Result<Vec<_>, _>>()?;
    let different: BTreeSet<_> = keys.iter().map(SecretString::expose_secret).collect();
    if different.len() < keys.len() {
        Err("holds the same key twice".to_owned())
    } else {
        Ok(keys)
    }
}
