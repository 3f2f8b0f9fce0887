//! Names of a provider and of its operation in OpenTelemetry's conventions for generative AI.
//! <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/registry/attributes/gen-ai.md> (November 2026)

/// Names of a provider for traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenAiNames {
    /// `gen_ai.provider.name`: the vendor, or the API that the server has.
    pub provider: &'static str,
    /// `gen_ai.operation.name`.
    pub operation: &'static str,
}

/// Ends of the hosts of vendors that have a name, and the name.
const VENDORS: [(&str, &str); 13] = [
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
];

impl GenAiNames {
    /// Returns the names for chat completions of a provider.
    #[must_use]
    pub const fn chat(provider: &'static str) -> Self {
        Self {
            provider,
            operation: "chat",
        }
    }

    /// Returns the names with the vendor of a host, if it has one.
    #[must_use]
    pub fn at_host(self, host: &str) -> Self {
        let is_vendor = |end: &str| {
            host.strip_suffix(end)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
        };
        let vendor = VENDORS.iter().find(|(end, _)| is_vendor(end));
        Self {
            provider: vendor.map_or(self.provider, |(_, name)| name),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_known_by_its_host() {
        let provider = |host| GenAiNames::chat("openai").at_host(host).provider;
        assert_eq!(provider("api.groq.com"), "groq");
        assert_eq!(provider("name.openai.azure.com"), "azure.ai.openai");
        assert_eq!(
            provider("bedrock-runtime.us-east-1.amazonaws.com"),
            "aws.bedrock"
        );
        assert_eq!(
            provider("europe-west1-aiplatform.googleapis.com"),
            "gcp.vertex_ai"
        );
        assert_eq!(provider("localhost"), "openai");
        assert_eq!(provider("notapi.x.ai"), "openai");
    }
}
