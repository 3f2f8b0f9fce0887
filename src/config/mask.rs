//! Masking of secrets (keys and header values): messages and printed lines show at most the last
//! four characters.

use secrecy::{ExposeSecret as _, SecretString};

use super::parsers::Parsed;

/// Parses a key: visible ASCII, as a header can carry it after `Bearer `.
pub(super) fn parse_key(text: &str) -> Result<SecretString, String> {
    if text.is_empty() {
        return Err("holds an empty key".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds a key with white space or a character that is not ASCII".to_owned());
    }
    Ok(text.into())
}

/// Parses a key, and masks it for printing.
pub(super) fn key_and_masked(text: Option<&str>) -> Parsed<SecretString> {
    let secret = parse_key(text.ok_or("must be a string")?)?;
    let shown = masked(&secret).into();
    Ok((secret, shown))
}

/// Returns `****` and, for a secret of at least 12 characters, its last four characters.
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
