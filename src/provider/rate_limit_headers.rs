//! Rate limit headers (`x-ratelimit-remaining-*`, `anthropic-ratelimit-*-remaining`): the remaining
//! quota of an API key.

use http::{HeaderMap, HeaderName};

use throttle::RemainingQuota;

/// Headers with limit and remaining number of requests.
const REQUEST_HEADERS: [(HeaderName, HeaderName); 2] = [
    (
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
    ),
    (
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    ),
];
/// Headers with limit and remaining number of tokens.
const TOKEN_HEADERS: [(HeaderName, HeaderName); 2] = [
    (
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
    ),
    (
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    ),
];

/// Returns the remaining quota by the response headers: OpenAI's names, which most servers use, or
/// Anthropic's (<https://platform.openai.com/docs/guides/rate-limits>,
/// <https://docs.anthropic.com/en/api/rate-limits>, read 2026-11). A limit of 0 or less means that
/// there is no limit, so its remaining quota is `None`.
pub fn quota_from_headers(headers: &HeaderMap) -> RemainingQuota {
    let number = |name: &HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let remaining = |names: &[(HeaderName, HeaderName)]| {
        names.iter().find_map(|(limit, remaining)| {
            let remaining = u64::try_from(number(remaining)?).ok()?;
            number(limit)
                .is_none_or(|limit| limit > 0)
                .then_some(remaining)
        })
    };
    RemainingQuota {
        requests: remaining(&REQUEST_HEADERS),
        tokens: remaining(&TOKEN_HEADERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_quota_is_parsed_unless_there_is_no_limit() {
        for (name, limit, remaining, expected) in [
            ("x-ratelimit", "60000", "123", Some(123)),
            ("x-ratelimit", "60000", "0", Some(0)),
            ("x-ratelimit", "0", "0", None),
            ("x-ratelimit", "-1", "-1", None),
            ("x-ratelimit", "60000", "-5", None),
            ("x-ratelimit", "60000", "many", None),
            ("anthropic-ratelimit", "80000", "77", Some(77)),
        ] {
            let mut headers = HeaderMap::new();
            let name = |what: &str| match name {
                "x-ratelimit" => {
                    HeaderName::try_from(format!("x-ratelimit-{what}-tokens")).unwrap()
                }
                _ => HeaderName::try_from(format!("anthropic-ratelimit-tokens-{what}")).unwrap(),
            };
            headers.insert(name("limit"), limit.parse().unwrap());
            headers.insert(name("remaining"), remaining.parse().unwrap());
            assert_eq!(
                quota_from_headers(&headers),
                RemainingQuota {
                    requests: None,
                    tokens: expected
                },
                "{limit} {remaining}"
            );
        }
    }
}
