//! Webhooks: a job's end is told to a URL, signed after Standard Webhooks 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! One delivery, and when the next is due. Which webhooks are due, and how often each was tried, is kept elsewhere.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

use super::hmac::mac;
use crate::net::{self, Client};
use crate::types::Webhook;

/// The first step of the waits between tries; each is twice as long as the one before, up to [`LONGEST_STEP`].
const FIRST_STEP: Duration = Duration::from_secs(30);
const LONGEST_STEP: Duration = Duration::from_secs(30 * 60);
/// How much longer or shorter than its step a wait may be, so that what failed together is not tried together.
const JITTER: f64 = 0.2;
/// Six steps of half an hour altogether, then 143 of half an hour each: three days.
const MAX_TRIES: u32 = 150;

/// What is told.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The same at each try, and of no other message: the receiver knows by it what it has had. ASCII without a full stop.
    pub id: &'a str,
    /// JSON.
    pub body: &'a [u8],
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It was taken, with a status of 2xx.
    Done,
    /// 410: the receiver wants no more of them, not this one either.
    Gone,
    /// Anything else, a redirect too: [`next_try`] says when to try again.
    Failed {
        /// For the log and the operator: no more of the URL than its host.
        why: String,
        /// How long the receiver wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// Sends a message once. `now` is signed, and the receiver compares it with its own clock. Takes as long as the client lets it:
/// one of [`Client::outbound`] gives up by itself.
///
/// # Cancel safety
/// Dropped, the receiver may have had the message; it gets it again, with the same id, at the next try.
pub async fn send_webhook(
    client: &Client,
    webhook: &Webhook,
    message: Message<'_>,
    now: SystemTime,
) -> DeliveryOutcome {
    let failed = |why: String| DeliveryOutcome::Failed {
        why,
        retry_after: None,
    };
    let headers = match headers(webhook.key(), message, now) {
        Ok(headers) => headers,
        Err(error) => return failed(format!("the message's id cannot be sent: {error}")),
    };
    match client
        .post(webhook.url(), headers, message.body.to_vec())
        .await
    {
        Err(error) => failed(error.to_string()),
        Ok(answer) => {
            let (status, retry_after) = (answer.status, net::retry_after(&answer.headers, now));
            // The head says all; a receiver that is still writing is not cut off at once.
            answer.finish().await;
            match status.as_u16() {
                200..=299 => DeliveryOutcome::Done,
                410 => DeliveryOutcome::Gone,
                _ => DeliveryOutcome::Failed {
                    why: format!("the receiver answered {status}"),
                    retry_after,
                },
            }
        }
    }
}

/// How long to wait after this many tries (from 1), all of which failed; `None`: it is given up, after 150 tries in about
/// three days. What the receiver asked for (`retry_after`) is waited for, up to half an hour.
///
/// `random` is from 0 to 1.
#[must_use]
pub fn next_try(tries: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
    if tries >= MAX_TRIES {
        return None;
    }
    let step = FIRST_STEP
        .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)))
        .min(LONGEST_STEP);
    let wait = step.mul_f64(1.0 - JITTER + 2.0 * JITTER * random);
    Some(wait.max(retry_after.unwrap_or_default().min(LONGEST_STEP)))
}

/// What goes with the body, its signature among it.
fn headers(
    key: &[u8],
    message: Message<'_>,
    now: SystemTime,
) -> Result<HeaderMap, InvalidHeaderValue> {
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let signature = signature(key, message, seconds);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_str(message.id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    headers.insert("webhook-signature", HeaderValue::from_str(&signature)?);
    Ok(headers)
}

/// `v1,` and the HMAC-SHA256 of "id.timestamp.body" in base64.
fn signature(key: &[u8], Message { id, body }: Message<'_>, seconds: u64) -> String {
    let seconds = seconds.to_string();
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    format!(
        "v1,{}",
        STANDARD.encode(mac(key, &signed).finalize().into_bytes())
    )
}

#[cfg(test)]
mod tests;
