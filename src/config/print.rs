//! Printing of the configuration in force as TOML, each line with the source of its value
//! (`extractd config`).

use std::fmt::Write as _;

use super::setting::Origin;

/// Key of the configuration with its value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// Header of its table as in a file, such as `limits` or `providers.openai`; empty at the top
    /// level.
    pub section: String,
    /// Name of the key.
    pub key: String,
    /// Value, masked if it is a secret. `None`: not set, and without a default.
    pub value: Option<toml::Value>,
    /// Source of the value.
    pub origin: Origin,
    /// True if the key is from `callers_file`. It is printed as a comment, so that it is not
    /// duplicated when the printed file is used as configuration.
    pub is_from_callers_file: bool,
}

/// Returns a valid TOML file; keys that are not set are comments.
pub(super) fn toml(entries: &[InForce]) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in entries {
        let comment = if entry.is_from_callers_file { "# " } else { "" };
        if entry.section != section {
            section = &entry.section;
            let _infallible = writeln!(text, "\n{comment}[{section}]");
        }
        let key = key_text(&entry.key);
        let _infallible = match &entry.value {
            Some(value) => {
                // A line break in the file's own path would end the comment.
                let origin = entry.origin.to_string().replace(char::is_control, "?");
                // The same holds for a value in a comment.
                let value = if entry.is_from_callers_file {
                    value.to_string().replace('\n', "\n# ")
                } else {
                    value.to_string()
                };
                writeln!(text, "{comment}{key} = {value} # {origin}")
            }
            None => writeln!(text, "# {key} is not set"),
        };
    }
    text
}

/// Returns a key as in a file: bare if that is allowed, else quoted.
pub(super) fn key_text(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        toml::Value::from(key).to_string()
    }
}
