//! The wire formats that a provider can speak.

/// The wire format that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireKind {
    /// `openai`: `OpenAI`'s Chat Completions, which most servers of models speak.
    OpenAi,
    /// `openai_responses`: `OpenAI`'s Responses.
    Responses,
    /// `anthropic`: Anthropic's Messages.
    Anthropic,
    /// `gemini`: Gemini's `generateContent`.
    Gemini,
    /// `ollama`: Ollama's own API.
    Ollama,
    /// `azure`: Chat Completions at Azure `OpenAI`.
    Azure,
}

pub(super) const KINDS: [(&str, WireKind); 6] = [
    ("openai", WireKind::OpenAi),
    ("openai_responses", WireKind::Responses),
    ("anthropic", WireKind::Anthropic),
    ("gemini", WireKind::Gemini),
    ("ollama", WireKind::Ollama),
    ("azure", WireKind::Azure),
];

/// A provider whose kind and variables are known by its name.
pub(super) struct Native {
    /// Its kind, too.
    pub(super) name: &'static str,
    /// Of its key and its base URL.
    pub(super) variables: [&'static str; 2],
}

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
    /// What the provider's own SDK calls, where that is the only one who speaks it, or the name says that it is meant: a key for
    /// another server must not be sent there. From the SDKs' sources (November 2026).
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

    /// A base URL of this kind, for a message.
    pub(super) const fn example_base_url(self) -> &'static str {
        match self {
            Self::Azure => "https://NAME.openai.azure.com",
            _ => "http://localhost:8000/v1",
        }
    }
}
