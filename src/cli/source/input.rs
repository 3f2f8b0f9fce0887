//! Parts that the readers of all input formats share.

/// Callback for each input, given as JSON in one line.
pub type OnInput<'a> = dyn FnMut(&str) -> anyhow::Result<()> + 'a;

/// Result of [`OnInput`] that ends the reading: no further input is wanted.
#[derive(Debug, thiserror::Error)]
#[error("the limit is reached")]
pub struct LimitReached;

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
