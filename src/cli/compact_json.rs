//! Compact JSON, whose numbers keep their spelling.

use anyhow::bail;

use crate::types::plain_message;

/// Removes the white space between JSON tokens; numbers keep their spelling.
///
/// # Errors
/// If the text is not JSON.
pub fn compact(json: &str) -> anyhow::Result<String> {
    if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(json) {
        let (line, column) = (error.line(), error.column());
        bail!("line {line}, column {column}: {}", plain_message(&error));
    }
    let (mut inside, mut escaped) = (false, false);
    let keep = |c: &char| {
        let closes = inside && !escaped && *c == '"';
        let keep = inside || !c.is_ascii_whitespace();
        escaped = inside && !escaped && *c == '\\';
        inside = if inside { !closes } else { *c == '"' };
        keep
    };
    Ok(json.chars().filter(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_is_removed() {
        let json = "{ \"a b\" : [1.50 , \"x \\\" y\\\\\" ,\n\t\"\" ] }\n";
        assert_eq!(compact(json).unwrap(), r#"{"a b":[1.50,"x \" y\\",""]}"#);
        assert!(compact("{").is_err());
    }
}
