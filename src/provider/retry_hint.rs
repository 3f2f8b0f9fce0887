//! Waits that providers ask for: in durations with units, in the words of an error, and in rate limit headers.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::net;

/// Upper bound of a wait, in case a provider's number is wrong.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Phrases of error messages before a wait: of OpenAI, Groq, Gemini, Azure and Anthropic's gateways (issue threads, 2026-11).
const WAIT_PHRASES: [&str; 8] = [
    "try again in",
    "try again after",
    "retry in",
    "retry after",
    "retry_after:",
    "please wait",
    "wait for",
    "reset in",
];
/// Headers with the time at which a limit is reset, and the header with the rest of that limit. Without the latter, the limit
/// that was hit is assumed to be this one.
const RESET_HEADERS: [(&str, &str); 9] = [
    (
        "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-requests",
    ),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    (
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-requests-remaining",
    ),
    (
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-remaining",
    ),
    (
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-input-tokens-remaining",
    ),
    (
        "anthropic-ratelimit-output-tokens-reset",
        "anthropic-ratelimit-output-tokens-remaining",
    ),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("x-rate-limit-reset", "x-rate-limit-remaining"),
];

/// Returns the wait that a response asks for: the longest of `retry-after`, the body's own, the message's, and, for a response to
/// too many requests, the reset headers'. `None`: no wait is given.
pub fn retry_after(
    headers: &HeaderMap,
    body: Option<Duration>,
    message: &str,
    is_rate_limit: bool,
    now: SystemTime,
) -> Option<Duration> {
    let resets = is_rate_limit.then(|| reset_wait(headers, now)).flatten();
    let worded = is_rate_limit.then(|| wait_in_words(message)).flatten();
    let waits = [net::retry_after(headers, now), body, worded, resets];
    waits.into_iter().flatten().max()
}

/// Returns the longest wait of the reset headers whose limit is used up.
fn reset_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let is_used_up = |remaining: &str| {
        text(remaining).is_none_or(|left| left.parse().is_ok_and(|left: f64| left <= 0.0))
    };
    RESET_HEADERS
        .iter()
        .filter(|(_, remaining)| is_used_up(remaining))
        .filter_map(|(reset, _)| net::parse_wait_or_time(text(reset)?, now))
        .max()
}

/// Returns the wait that an error message names: "Please try again in 1.5s".
pub fn wait_in_words(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let waits = WAIT_PHRASES.iter().filter_map(|phrase| {
        let (_, after) = lower.split_once(phrase)?;
        parse_wait(after)
    });
    waits.max()
}

/// Parses a wait at the start of a text: `34.07s`, `1m26.4s`, `20 seconds`; without a unit, in seconds. At most a day.
pub fn parse_wait(text: &str) -> Option<Duration> {
    net::parse_wait(text).map(|wait| wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests;
