//! Wire format of OpenAI's Chat Completions API, whole and streamed, and of all servers compatible
//! with it: vLLM, Ollama, llama.cpp's server, LM Studio, Groq, Together, Azure OpenAI.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-11.

mod request;
mod response;

use std::borrow::Cow;

use super::extra_body;
use super::genai_names::GenAiNames;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::request::Request;
use super::request_shape::RequestShape;
use super::wire_format::{WireFormat, encode_path_segment, version_prefix};
use crate::types::{Dialect, Mode};
use schema_dialect::dialects::{AZURE_STRICT, COMPATIBLE, OPENAI_STRICT};

use request::Quirks;

/// Chat Completions API of one server.
#[derive(Debug, Clone)]
pub struct OpenAi {
    quirks: Quirks,
    endpoint: Endpoint,
}

/// URL path and API key header of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// OpenAI's own: model in the body, bearer token.
    Standard,
    /// Azure's v1 API, with the model in the body:
    /// <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>, read 2026-11.
    AzureV1,
    /// Azure's deployments, with the deployment in the path:
    /// <https://learn.microsoft.com/azure/ai-foundry/openai/reference>, read 2026-11.
    AzureDeployments {
        /// Path before the deployment's name.
        prefix: &'static str,
        api_version: String,
    },
}

/// Returns true if the models behind a host are OpenAI's own.
pub fn is_openai_host(host: &str) -> bool {
    host == "api.openai.com" || AZURE_DOMAINS.iter().any(|domain| host.ends_with(domain))
}

/// Domains of Azure OpenAI.
const AZURE_DOMAINS: [&str; 3] = [
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
];

impl OpenAi {
    /// Returns the format of the server at this host: OpenAI's own, Azure's, or a compatible one.
    #[must_use]
    pub fn for_host(host: &str) -> Self {
        let is_own = is_openai_host(host);
        Self {
            quirks: Quirks {
                shows_schema: is_own,
                completion_tokens: is_own,
            },
            endpoint: Endpoint::Standard,
        }
    }

    /// Returns the format of Azure OpenAI at a base URL with this path, which selects the v1 API or
    /// deployments.
    #[must_use]
    pub fn azure(base_path: &str, api_version: &str) -> Self {
        let endpoint = if version_prefix(base_path, "openai/v1/").is_empty() {
            Endpoint::AzureV1
        } else {
            let prefix = if version_prefix(base_path, "openai/").is_empty() {
                "deployments/"
            } else {
                "openai/deployments/"
            };
            Endpoint::AzureDeployments {
                prefix,
                api_version: api_version.to_owned(),
            }
        };
        Self {
            quirks: Quirks {
                shows_schema: true,
                completion_tokens: true,
            },
            endpoint,
        }
    }
}

impl WireFormat for OpenAi {
    fn genai_names(&self) -> GenAiNames {
        GenAiNames::chat(match self.endpoint {
            Endpoint::AzureV1 | Endpoint::AzureDeployments { .. } => "azure.ai.openai",
            Endpoint::Standard => "openai",
        })
    }

    fn path(&self, model: &str, _: bool) -> Option<Cow<'static, str>> {
        match &self.endpoint {
            Endpoint::Standard | Endpoint::AzureV1 => Some("chat/completions".into()),
            Endpoint::AzureDeployments {
                prefix,
                api_version,
            } => Some(
                format!(
                    "{prefix}{}/chat/completions?api-version={api_version}",
                    encode_path_segment(model)?
                )
                .into(),
            ),
        }
    }

    fn chat_path(&self, model: &str) -> Option<Cow<'static, str>> {
        self.path(model, false)
    }

    fn chat_key_header(&self) -> (&'static str, &'static str) {
        self.key_header()
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        match self.endpoint {
            Endpoint::Standard => ("authorization", "Bearer "),
            Endpoint::AzureV1 | Endpoint::AzureDeployments { .. } => ("api-key", ""),
        }
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        match mode {
            Mode::Auto | Mode::Text => &Dialect::WHOLE,
            Mode::JsonObject => &Dialect::OBJECT,
            Mode::JsonSchema | Mode::Tools if self.quirks.shows_schema => match self.endpoint {
                Endpoint::Standard => &OPENAI_STRICT,
                Endpoint::AzureV1 | Endpoint::AzureDeployments { .. } => &AZURE_STRICT,
            },
            Mode::JsonSchema | Mode::Tools => &COMPATIBLE,
        }
    }

    fn reserved_fields(&self) -> &'static [&'static str] {
        extra_body::CHAT_COMPLETIONS
    }

    fn encode(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        request::encode(request, shape, self.quirks)
    }

    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
        response::decode(body)
    }

    fn decode_event(&self, message: &[u8], partial: &mut PartialAnswer) -> Result<(), DecodeError> {
        response::decode_event(message, partial)
    }
}

#[cfg(test)]
mod tests;
