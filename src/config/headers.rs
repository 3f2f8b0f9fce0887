//! `[providers.NAME.headers]`: sent with every call. Each value is taken for a secret.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{error::Error, mask, parsers::Parsed, section::Section, setting::Setting};

/// Reads them all; names come out in lower case.
pub(super) fn read(mut section: Section<'_>) -> Result<BTreeMap<String, SecretString>, Error> {
    let mut headers = BTreeMap::new();
    for (name, setting) in section.take_all() {
        let refuse =
            |why: &str| Error::new(&setting.origin, format!("`{}` {why}", section.name(&name)));
        if !is_header_name(&name) {
            return Err(refuse("is not the name of a header"));
        }
        let value = section.parse(&name, &setting, header_value)?;
        if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(refuse(
                "is there twice; capitals make no difference in a header's name",
            ));
        }
    }
    Ok(headers)
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110, section 5.5, in ASCII: visible, with blanks between.
fn header_value(setting: &Setting) -> Parsed<SecretString> {
    let text = setting.text().ok_or("must be a string")?;
    if text.trim() != text
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'))
    {
        return Err("must be ASCII without line breaks and without blanks at its ends".to_owned());
    }
    let value = SecretString::from(text);
    let shown = mask::masked(&value).into();
    Ok((value, shown))
}
