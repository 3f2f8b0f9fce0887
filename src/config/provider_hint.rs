//! What to say about a provider that is not there.

use std::collections::BTreeMap;

use super::{
    error::did_you_mean,
    providers::{LOCAL, Provider},
    wire_kind::{NATIVES, Native},
};

/// Refuses the name of a provider that is not there, saying how to make it be there.
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
        let how = format!("set {key} or {base_url}, or add [providers.{name}]");
        return Err(format!(
            "names the provider `{name}`, which is not configured: {how}"
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
