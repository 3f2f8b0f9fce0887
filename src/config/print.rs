//! The configuration in force as TOML, each line with where it came from.

use std::fmt::Write as _;

use super::setting::Origin;

/// One key in force.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// The header of its table, as in a file: `limits`, `providers.openai`; empty at the top level.
    pub section: String,
    /// The key.
    pub key: String,
    /// Its value, masked if it is a secret. `None`: not set, and without a default.
    pub value: Option<toml::Value>,
    /// Where the value was set.
    pub origin: Origin,
    /// It stands in `callers_file`, beside the configuration: printed as a comment, or it would be there twice when the
    /// printed file is read.
    pub beside: bool,
}

/// A valid TOML file; a key that is not set is a comment.
pub(super) fn toml(entries: &[InForce]) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in entries {
        let mark = if entry.beside { "# " } else { "" };
        if entry.section != section {
            section = &entry.section;
            let _infallible = writeln!(text, "\n{mark}[{section}]");
        }
        let key = key_text(&entry.key);
        let _infallible = match &entry.value {
            Some(value) => {
                // A line break in the file's own path would end the comment.
                let origin = entry.origin.to_string().replace(char::is_control, "?");
                // As would one in a value that stands in a comment.
                let value = if entry.beside {
                    value.to_string().replace('\n', "\n# ")
                } else {
                    value.to_string()
                };
                writeln!(text, "{mark}{key} = {value} # {origin}")
            }
            None => writeln!(text, "# {key} is not set"),
        };
    }
    text
}

/// A key as it stands in a file: bare where that is allowed, else quoted.
pub(super) fn key_text(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        toml::Value::from(key).to_string()
    }
}
