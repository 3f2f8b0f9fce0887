//! Scope of a provider's rate limit: the model that was called, or the API key with every model.

use super::error_body::UpstreamErrorBody;
use super::error_table::is_about_request;
use super::own_words::OwnWords;
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

/// Returns true if an error says that its limit is the key's, not only the model's. Words of an error about the request itself say
/// nothing of others. `status` is as for [`classify`](super::error_table::classify).
pub fn limits_whole_key(error: &UpstreamErrorBody, own_words: &OwnWords, status: u16) -> bool {
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
    if is_about_request(status) {
        return false;
    }
    let own_words = &own_words.text;
    // A caller whose texts have the word does not remove it here.
    let names_model = contains_phrase(&error.message.to_lowercase(), "model");
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
            let error = UpstreamErrorBody {
                message: message.to_owned(),
                ..UpstreamErrorBody::default()
            };
            let own_words = OwnWords::of(&error, |_| ());
            assert_eq!(
                limits_whole_key(&error, &own_words, 429),
                expected,
                "{message}"
            );
            assert!(!limits_whole_key(&error, &own_words, 400), "{message}");
        }
    }

    #[test]
    fn a_callers_text_does_not_make_a_models_limit_the_keys() {
        let error = UpstreamErrorBody {
            message: "api key rate limit exceeded for model gpt-4o".to_owned(),
            ..UpstreamErrorBody::default()
        };
        let own_words = OwnWords::of(&error, |search| search.text("model"));
        assert!(!limits_whole_key(&error, &own_words, 429));
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
                message: "check your account".to_owned(),
                codes: vec!["RESOURCE_EXHAUSTED".into(), quota.into()],
                ..UpstreamErrorBody::default()
            };
            let own_words = OwnWords::of(&error, |_| ());
            assert_eq!(limits_whole_key(&error, &own_words, 429), expected);
        }
    }
}
