//! Webhooks: one signed delivery attempt after Standard Webhooks 1.0.0, and the delay before the next attempt.
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>)
//!
//! Knows nothing of which deliveries are due: `webhook_delivery` does.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

use super::hmac::hmac_sha256;
use crate::net::{self, Client};
use crate::types::Webhook;
use throttle::CallerId;

/// Delay before the second attempt. Each further delay is twice as long, up to [`MAX_DELAY`].
const FIRST_DELAY: Duration = Duration::from_secs(30);
/// Maximum delay between two attempts, before jitter.
const MAX_DELAY: Duration = Duration::from_secs(30 * 60);
/// Relative jitter of a delay, so that deliveries that failed together are not repeated together.
const JITTER: f64 = 0.2;
/// Maximum number of attempts: six delays of half an hour in total, then 143 of half an hour each, which is three days.
const MAX_ATTEMPTS: u32 = 150;

/// Message to be delivered.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// ID, the same for each attempt, by which the receiver recognizes duplicates. ASCII without a full stop.
    pub id: &'a str,
    /// Body as JSON.
    pub body: &'a [u8],
}

/// Outcome of a delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver answered with this 2xx status.
    Delivered(u16),
    /// The receiver answered 410 Gone: no further attempt is made.
    Gone,
    /// Any other outcome, redirects included. [`retry_delay`] returns the delay before the next attempt.
    Failed {
        /// Reason for the log and the job's view, which contains no more of the URL than its host.
        reason: String,
        /// Status of the response, if there was one.
        status: Option<u16>,
        /// `Retry-After` of the receiver.
        retry_after: Option<Duration>,
    },
}

/// Sends a message of a caller's job once. `now` is signed, and compared by the receiver with its own clock. The client limits the
/// duration if it is one of [`Client::outbound`].
///
/// # Cancel safety
/// A cancelled attempt may have been received. The next attempt has the same message ID.
pub async fn send_webhook(
    client: &Client,
    caller: CallerId,
    webhook: &Webhook,
    message: Message<'_>,
    now: SystemTime,
) -> DeliveryOutcome {
    let failed = |reason: String| DeliveryOutcome::Failed {
        reason,
        status: None,
        retry_after: None,
    };
    let headers = match signed_headers(webhook.key(), message, now) {
        Ok(headers) => headers,
        Err(error) => return failed(format!("the message ID is no valid header value: {error}")),
    };
    let body = message.body.to_vec();
    let sent = client.post_for(caller, webhook.url(), headers, body);
    let response = match sent.await {
        Ok(response) => response,
        Err(error) => return failed(error.to_string()),
    };
    let status = response.status;
    let retry_after = net::retry_after(&response.headers, now);
    // The status decides; reading the rest spares the receiver a broken connection.
    response.finish().await;
    match status.as_u16() {
        status @ 200..=299 => DeliveryOutcome::Delivered(status),
        410 => DeliveryOutcome::Gone,
        code => DeliveryOutcome::Failed {
            reason: format!("the receiver answered {status}"),
            status: Some(code),
            retry_after,
        },
    }
}

/// Returns the delay after this number of failed attempts (from 1): exponential backoff with jitter, and at least
/// `retry_after`, up to half an hour. Returns `None` after 150 attempts in about three days: the delivery is given up.
///
/// `random` is from 0 to 1.
#[must_use]
pub fn retry_delay(
    failed_attempts: u32,
    retry_after: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    if failed_attempts >= MAX_ATTEMPTS {
        return None;
    }
    let doublings = failed_attempts.saturating_sub(1);
    let backoff = FIRST_DELAY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(MAX_DELAY);
    let delay = backoff.mul_f64(1.0 - JITTER + 2.0 * JITTER * random);
    Some(delay.max(retry_after.unwrap_or_default().min(MAX_DELAY)))
}

/// Returns the headers of a message, with its ID, timestamp and signature.
fn signed_headers(
    key: &[u8],
    message: Message<'_>,
    now: SystemTime,
) -> Result<HeaderMap, InvalidHeaderValue> {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
    let timestamp_s = since_epoch.unwrap_or_default().as_secs();
    let signature = signature(key, message, timestamp_s);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_str(message.id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(timestamp_s));
    headers.insert("webhook-signature", HeaderValue::from_str(&signature)?);
    Ok(headers)
}

/// Returns `v1,` and the base64 of the HMAC-SHA256 of "id.timestamp.body".
fn signature(key: &[u8], Message { id, body }: Message<'_>, timestamp_s: u64) -> String {
    let timestamp = timestamp_s.to_string();
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let mac = hmac_sha256(key, &signed).finalize().into_bytes();
    format!("v1,{}", STANDARD.encode(mac))
}

#[cfg(test)]
mod tests;
