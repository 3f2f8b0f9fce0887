//! Wire formats of providers (`kind`), and the providers whose kind and environment variables are
//! known by name.

/// Wire format (API) of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireKind {
    /// `openai`: `OpenAI` Chat Completions, which most model servers implement.
    OpenAi,
    /// `openai_responses`: `OpenAI` Responses.
    Responses,
    /// `anthropic`: Anthropic Messages.
    Anthropic,
    /// `gemini`: Gemini `generateContent`.
    Gemini,
    /// `ollama`: the native API of Ollama.
    Ollama,
    /// `azure`: Chat Completions of Azure `OpenAI`.
    Azure,
}

/// Names of the wire formats.
pub(super) const KINDS: [(&str, WireKind); 6] = [
    ("openai", WireKind::OpenAi),
    ("openai_responses", WireKind::Responses),
    ("anthropic", WireKind::Anthropic),
    ("gemini", WireKind::Gemini),
    ("ollama", WireKind::Ollama),
    ("azure", WireKind::Azure),
];

/// Provider whose kind and environment variables are known by its name.
pub(super) struct Native {
    /// Name of the provider, and of its kind.
    pub(super) name: &'static str,
    /// Environment variables of its API key and of its base URL.
    pub(super) variables: [&'static str; 2],
}

/// Providers that need no `kind`.
pub(super) const NATIVES: [Native; 3] = [
    Native {
        name: "openai",
        variables: ["OPENAI_API_KEY", "OPENAI_BASE_URL"],
    },
    Native {
        name: "anthropic",
        variables: ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"],
    },
    Native {
        name: "gemini",
        variables: ["GEMINI_API_KEY", "GEMINI_BASE_URL"],
    },
];

impl WireKind {
    /// Returns the default base URL of the provider's own SDK, from the SDKs' sources (November
    /// 2026).
    ///
    /// `None` if several vendors use the wire format and the name does not say which one is meant:
    /// a key must not be sent to another vendor's server.
    pub(super) fn default_base_url(self, name: &str) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::Responses => {
                (name == "openai").then_some("https://api.openai.com/v1")
            }
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Azure => None,
        }
    }

    /// Returns an example of a base URL, for messages.
    pub(super) const fn example_base_url(self) -> &'static str {
        match self {
            Self::Azure => "https://NAME.openai.azure.com",
            _ => "http://localhost:8000/v1",
        }
    }
}
