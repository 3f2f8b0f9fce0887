//! Scope of a provider's rate limit: the model that was called, or the API key with every model.

use super::error_body::UpstreamErrorBody;
use super::phrase::contains_phrase;

/// Words by which providers and gateways say that a limit is the key's or the account's, in lower case; see [`contains_phrase`].
const KEY_WORDS: [&str; 13] = [
    // LiteLLM: <https://docs.litellm.ai/docs/proxy/users>.
    "limit … api_key",
    "limit … api key",
    "api key … limit",
    "this key",
    "your key",
    "all models",
    // Cohere: <https://docs.cohere.com/docs/rate-limits>.
    "trial key",
    // Moonshot: <https://platform.moonshot.ai/docs/api/chat#error-information>.
    "organization max",
    // Mistral: <https://docs.mistral.ai/deployment/laplateforme/tier>.
    "your workspace",
    "your account",
    "account … limit",
    "per account",
    // OpenRouter: <https://openrouter.ai/docs/api-reference/limits>.
    "free-models-per",
];

/// Returns true if an error says that its limit is the key's, not only the model's. `own_words` is the message in lower case,
/// without what it repeats of the input.
pub fn limits_whole_key(error: &UpstreamErrorBody, own_words: &str) -> bool {
    // Gemini names the quota: `GenerateRequestsPerMinutePerProjectPerModel-FreeTier`.
    let quotas = || {
        error
            .codes
            .iter()
            .filter(|code| code.contains("PerProject"))
    };
    if quotas().next().is_some() {
        return quotas().any(|quota| !quota.contains("PerModel"));
    }
    let names_model =
        contains_phrase(own_words, "model") || contains_phrase(own_words, "for model");
    let is_of_all = contains_phrase(own_words, "all models");
    let says_key = KEY_WORDS
        .iter()
        .any(|words| contains_phrase(own_words, words));
    says_key && (is_of_all || !names_model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_read_from_the_message() {
        for (message, expected) in [
            (
                "rate limit reached for gpt-4o in organization org-1 on tokens per min (tpm): limit 30000",
                false,
            ),
            ("rate limit reached", false),
            ("too many requests", false),
            (
                "this request would exceed the rate limit for your organization … (model: claude-sonnet-4)",
                false,
            ),
            (
                "you are using a trial key, which is limited to 10 api calls / minute",
                true,
            ),
            (
                "your account org-1<ak-1> request reached organization max rpm: 3, please try again after 1 seconds",
                true,
            ),
            (
                "rate limit exceeded for api_key: 88dc28. limit type: requests",
                true,
            ),
            ("api key rate limit exceeded for model gpt-4o", false),
            ("the limit of all models together is reached", true),
            ("rate limit exceeded: free-models-per-min", true),
        ] {
            let error = UpstreamErrorBody::default();
            assert_eq!(limits_whole_key(&error, message), expected, "{message}");
        }
    }

    #[test]
    fn the_name_of_a_quota_says_more_than_the_message() {
        for (quota, expected) in [
            (
                "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                false,
            ),
            ("GenerateRequestsPerMinutePerProject", true),
        ] {
            let error = UpstreamErrorBody {
                codes: vec!["RESOURCE_EXHAUSTED".into(), quota.into()],
                ..UpstreamErrorBody::default()
            };
            assert_eq!(limits_whole_key(&error, "check your account"), expected);
        }
    }
}
