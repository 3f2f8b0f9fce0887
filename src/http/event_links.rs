//! Signed links to a job's events, for clients that cannot send a key, such as a browser's `EventSource`.

use std::time::SystemTime;

use axum::http::Uri;

use super::query;
use super::state::AppState;
use crate::jobs::signed_link;
use crate::types::{Code, Error};

/// Returns the signature that lets a client follow this job until the link expires.
pub fn sign(state: &AppState, job_id: &str) -> String {
    let expires_at = now_seconds().saturating_add(state.link_ttl.as_secs());
    signed_link::sign(&state.link_secret, job_id, expires_at)
}

/// Verifies the signature in a URI. `None` if the URI is not a job's events or has no signature.
///
/// # Errors
/// `forbidden` for an invalid or expired signature.
pub fn verify(state: &AppState, uri: &Uri) -> Option<Result<(), Error>> {
    let path = uri.path();
    let job_id = path.strip_prefix("/v1/jobs/")?.strip_suffix("/events")?;
    let (_, signature) = query::pairs(uri.query()?)
        .filter_map(Result::ok)
        .find(|(name, _)| name == "signature")?;
    let verified = signed_link::verify(&state.link_secret, job_id, &signature, now_seconds());
    Some(verified.map_err(|error| Error::new(Code::Forbidden, error.to_string())))
}

fn now_seconds() -> u64 {
    crate::types::clock::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
