//! What to say about a provider that is not there.

use std::collections::BTreeMap;

use super::{
    error::did_you_mean,
    providers::{LOCAL, OPENAI, Provider},
};

/// Refuses the name of a provider that is not there, saying how to make it be there.
pub(super) fn check_provider(name: &str, providers: &BTreeMap<String, Provider>) -> Result<(), String> {
    if name == LOCAL || providers.contains_key(name) {
        return Ok(());
    }
    if let Some(native) = NATIVE_LATER.iter().find(|native| native.name == name) {
        return Err(format!("names the provider `{name}`, which is not configured: {}", native.advice()));
    }
    if name == OPENAI {
        let how = "set OPENAI_API_KEY or OPENAI_BASE_URL, or add [providers.openai]";
        return Err(format!("names the provider `{name}`, which is not configured: {how}"));
    }
    let known: Vec<_> = std::iter::once(LOCAL).chain(providers.keys().map(String::as_str)).collect();
    let hint = did_you_mean(name, known.iter().copied());
    Err(format!("names the unknown provider `{name}`;{hint} known: {}", known.join(", ")))
}

/// A provider whose own API comes later; meanwhile its OpenAI-compatible one can be configured.
pub(super) struct Native {
    pub(super) name: &'static str,
    pub(super) variables: [&'static str; 2],
    title: &'static str,
    base_url: &'static str,
}

/// The base URLs: <https://docs.anthropic.com/en/api/openai-sdk>, <https://ai.google.dev/gemini-api/docs/openai> (November 2026).
pub(super) const NATIVE_LATER: [Native; 2] = [
    Native {
        name: "anthropic",
        variables: ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"],
        title: "Anthropic",
        base_url: "https://api.anthropic.com/v1",
    },
    Native {
        name: "gemini",
        variables: ["GEMINI_API_KEY", "GEMINI_BASE_URL"],
        title: "Gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
    },
];

impl Native {
    /// How to reach the provider meanwhile.
    pub(super) fn advice(&self) -> String {
        let Self { name, title, base_url, variables: [key, _] } = self;
        format!(
            "this version does not speak {title}'s own API; reach its OpenAI-compatible one with [providers.{name}] \
             kind = \"openai\", base_url = \"{base_url}\", api_key_env = \"{key}\""
        )
    }
}
