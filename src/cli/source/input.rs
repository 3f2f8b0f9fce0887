//! Parts that the readers of all input formats share.

/// Callback for each input, given as JSON in one line.
pub type OnInput<'a> = dyn FnMut(&str) -> anyhow::Result<()> + 'a;

/// Returns the message of a JSON error without its position, which is relative to one piece of the
/// file.
pub fn json_error(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message
        .rsplit_once(" at line ")
        .map_or(message.clone(), |(what, _)| what.to_owned())
}

/// Collects the inputs that a reader yields.
#[cfg(test)]
pub fn collect(
    read: impl FnOnce(&mut OnInput) -> anyhow::Result<()>,
) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let mut on_input = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    read(&mut on_input).map_err(|error| format!("{error:#}"))?;
    Ok(lines)
}
