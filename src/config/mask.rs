//! Secrets: keys and header values. No message and no printed line shows more of one than its last four characters.

use secrecy::{ExposeSecret as _, SecretString};

use super::parsers::Parsed;

/// A key as it can stand in a header after `Bearer `.
pub(super) fn key(text: &str) -> Result<SecretString, String> {
    if text.is_empty() {
        return Err("holds an empty key".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds a key with white space or a character that is not ASCII".to_owned());
    }
    Ok(text.into())
}

/// A key with what is printed for it.
pub(super) fn shown_key(text: Option<&str>) -> Parsed<SecretString> {
    let secret = key(text.ok_or("must be a string")?)?;
    let shown = masked(&secret).into();
    Ok((secret, shown))
}

/// `****`, with the last four characters of a secret that is long enough to spare them.
pub(super) fn masked(secret: &SecretString) -> String {
    let text = secret.expose_secret();
    let shown = text
        .chars()
        .count()
        .checked_sub(4)
        .filter(|rest| *rest >= 8);
    format!(
        "****{}",
        shown.map_or_else(String::new, |rest| text.chars().skip(rest).collect())
    )
}
