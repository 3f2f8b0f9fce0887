//! Sections `[providers.NAME.headers]`: additional headers of every call. Each value is treated as
//! a secret.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{error::Error, mask, parsers::Parsed, section::Section, setting::Setting};

/// Reads all headers; their names are converted to lower case.
pub(super) fn from_section(
    mut section: Section<'_>,
) -> Result<BTreeMap<String, SecretString>, Error> {
    let mut headers = BTreeMap::new();
    for (name, setting) in section.take_all() {
        let refuse =
            |why: &str| Error::new(&setting.origin, format!("`{}` {why}", section.name(&name)));
        if !is_header_name(&name) {
            return Err(refuse("is not a valid header name"));
        }
        let value = section.parse(&name, &setting, header_value)?;
        if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(refuse("is set twice; header names are case-insensitive"));
        }
    }
    Ok(headers)
}

/// Returns true if `name` is a token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Parses a header value: visible ASCII with inner blanks (RFC 9110, section 5.5).
fn header_value(setting: &Setting) -> Parsed<SecretString> {
    let text = setting.text().ok_or("must be a string")?;
    if text.trim() != text
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'))
    {
        return Err(
            "must be ASCII without line breaks and without blanks at either end".to_owned(),
        );
    }
    let value = SecretString::from(text);
    let shown = mask::masked(&value).into();
    Ok((value, shown))
}
