//! Error messages for a provider that is not configured.

use std::collections::BTreeMap;

use super::{
    providers::{LOCAL, Provider},
    wire_kind::{NATIVES, Native},
};
use crate::types::did_you_mean;

/// Rejects the name of a provider that is not configured, with instructions to configure it.
///
/// # Errors
/// The end of the sentence "`key` …".
pub(super) fn check_provider(
    name: &str,
    providers: &BTreeMap<String, Provider>,
) -> Result<(), String> {
    if name == LOCAL || providers.contains_key(name) {
        return Ok(());
    }
    if let Some(Native {
        variables: [key, base_url],
        ..
    }) = NATIVES.iter().find(|native| native.name == name)
    {
        let instructions = format!("set {key} or {base_url}, or add [providers.{name}]");
        return Err(format!(
            "names the provider `{name}`, which is not configured: {instructions}"
        ));
    }
    let known: Vec<_> = std::iter::once(LOCAL)
        .chain(providers.keys().map(String::as_str))
        .collect();
    let hint = did_you_mean(name, known.iter().copied());
    Err(format!(
        "names the unknown provider `{name}`;{hint} known: {}",
        known.join(", ")
    ))
}
