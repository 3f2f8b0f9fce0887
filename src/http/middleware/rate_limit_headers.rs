//! Rate limit headers, `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).

use axum::http::{HeaderMap, HeaderValue};

use throttle::QuotaStatus;

/// Adds the caller's quotas per minute and what remains of them. Adds nothing for a caller without quotas.
pub fn add(headers: &mut HeaderMap, quota: &QuotaStatus) {
    let windows = [("requests", quota.requests), ("tokens", quota.tokens)];
    let windows = windows
        .into_iter()
        .filter_map(|(name, window)| Some((name, window?)));
    let (mut policies, mut remaining) = (Vec::new(), Vec::new());
    for (name, window) in windows {
        policies.push(format!("\"{name}\";q={};w=60", window.limit));
        let reset_s = window.reset.as_secs() + u64::from(window.reset.subsec_nanos() > 0);
        remaining.push(format!("\"{name}\";r={};t={reset_s}", window.left));
    }
    for (name, items) in [("ratelimit-policy", policies), ("ratelimit", remaining)] {
        if !items.is_empty()
            && let Ok(value) = HeaderValue::try_from(items.join(", "))
        {
            headers.insert(name, value);
        }
    }
}
