//! Errors of an item that gets no permit, or whose calls failed.

use std::time::{Duration, Instant};

use super::super::models::ModelEndpoint;
use super::super::retry_policy::outage_code;
use crate::provider::Failure;
use crate::types::{Code, Error};
use throttle::{Denied, OutageReason, OutageSnapshot};

/// Returns the error of an item that was denied a permit of `provider`, its last target.
pub fn denial_error(denied: Denied, provider: &str, last: Option<&(Code, Failure)>) -> Error {
    let with_last = |detail: String| match last {
        Some((_, failure)) => format!("{detail}; the last call failed: {failure}"),
        None => detail,
    };
    let error = match denied {
        Denied::Paused { until } => {
            let wait = wait_until(until);
            let detail = format!(
                "the rate limit of the provider \"{provider}\" is used up; it is reset in {:.1} s, which is longer than an item \
                 may wait",
                wait.as_secs_f64()
            );
            Error::new(Code::UpstreamRateLimited, with_last(detail)).retry_after(wait)
        }
        Denied::CircuitOpen { until } => {
            let wait = wait_until(until);
            let detail = format!(
                "the circuit breaker of the provider \"{provider}\" is open, because its calls fail; retry in {:.1} s",
                wait.as_secs_f64()
            );
            Error::new(Code::UpstreamError, with_last(detail)).retry_after(wait)
        }
        Denied::NoUsableKey | Denied::Outage { .. } => no_key_error(provider, last),
        Denied::BudgetExhausted { until } => return budget_exhausted(wait_until(until)),
        Denied::Cancelled => {
            let detail =
                "the server is shutting down, and this item was not started; send it again";
            return Error::new(Code::ShuttingDown, detail);
        }
        Denied::TooLarge { needed, allowed } => return too_large(needed, allowed),
    };
    Error {
        upstream_status: last.and_then(|(_, failure)| failure.status()),
        ..error
    }
}

fn wait_until(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn no_key_error(provider: &str, last: Option<&(Code, Failure)>) -> Error {
    match last {
        Some((code, failure)) => {
            upstream_error(*code, failure_detail(*code, provider, failure), failure)
        }
        None => Error::new(
            Code::UpstreamUnauthorized,
            format!("the provider \"{provider}\" refused every configured API key"),
        ),
    }
}

/// Returns the error of an item that is not called, because every call to its model fails.
pub fn outage_error(endpoint: &ModelEndpoint, outage: &OutageSnapshot) -> Error {
    let (provider, model) = (&endpoint.provider_name, &endpoint.model);
    let address = endpoint.provider.address();
    let server = address.map_or_else(String::new, |address| format!(" at {address}"));
    let cause = match outage.report.reason {
        OutageReason::KeyRefused => "refuses the configured API key; check the key".to_owned(),
        OutageReason::AccessDenied => {
            format!("denies access to the model \"{model}\"; check the permissions of the API key")
        }
        OutageReason::QuotaExhausted => {
            "reports that the quota of the configured API key is used up; raise it, or add a key"
                .to_owned()
        }
        OutageReason::UnknownModel => {
            format!("does not know the model \"{model}\"; check its name")
        }
        OutageReason::NotFound => {
            "does not know the address of the call; check `base_url`".to_owned()
        }
    };
    let detail = format!(
        "the provider \"{provider}\"{server} {cause}; it was not called for this item, and is tried again in {:.0} s: {}",
        outage.retry_in.as_secs_f64(),
        outage.report.detail
    );
    Error::new(outage_code(outage.report.reason), detail)
}

/// Returns the error of a caller without budget for the rest of the day.
pub fn budget_exhausted(retry_after: Duration) -> Error {
    let detail = "this caller's budget for today is used up; it is reset at midnight UTC";
    Error::new(Code::QuotaExceeded, detail).retry_after(retry_after)
}

fn too_large(needed: u64, allowed: u64) -> Error {
    let detail = format!(
        "a call with this text takes about {needed} tokens, and the provider's limit is {allowed} a minute; split the text, \
         lower `max_output_tokens`, or raise `tokens_per_minute`"
    );
    Error::new(Code::PayloadTooLarge, detail)
}

/// Returns the error of an item whose last target failed `failed` times in a row.
pub fn exhausted_error(code: Code, provider: &str, failed: u32, failure: &Failure) -> Error {
    let times = if failed == 1 {
        "once".to_owned()
    } else {
        format!("{failed} times in a row")
    };
    let detail = format!("the provider \"{provider}\" failed {times}; the last error: {failure}");
    upstream_error(code, detail, failure)
}

/// Returns an error that carries the failure's HTTP status and `retry-after`.
pub fn upstream_error(code: Code, detail: String, failure: &Failure) -> Error {
    Error {
        upstream_status: failure.status(),
        retry_after: failure.retry_after,
        ..Error::new(code, detail)
    }
}

/// Returns the error detail of a call that is not retried.
pub fn failure_detail(code: Code, provider: &str, failure: &Failure) -> String {
    match code {
        Code::UpstreamUnauthorized => {
            format!(
                "the provider \"{provider}\" rejected the configured API key; check the key: {failure}"
            )
        }
        Code::UpstreamRateLimited => {
            format!(
                "the quota of the provider \"{provider}\" for the configured API key is used up; raise it, or add a key: \
                 {failure}"
            )
        }
        _ => format!("the provider \"{provider}\" rejected the call: {failure}"),
    }
}
