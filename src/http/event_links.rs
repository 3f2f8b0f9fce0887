//! Signed links to a job's events, for clients that cannot send a key, such as a browser's `EventSource`.

use std::time::{Duration, SystemTime};

use axum::http::Uri;

use super::query;
use super::state::AppState;
use crate::jobs::signed_link;
use crate::types::{Code, Error};

/// `Retry-After` while the store is not open.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Returns the signature that lets a client follow this job until the link expires.
pub fn sign(state: &AppState, job_id: &str) -> String {
    let expires_at = now_seconds().saturating_add(state.link_ttl.as_secs());
    // A job that is shown is in a store that is open.
    let secret = state.jobs.secret();
    secret
        .map(|secret| signed_link::sign(&secret, job_id, expires_at))
        .unwrap_or_default()
}

/// Verifies the signature in a URI. `None` if the URI is not a job's events or has no signature.
///
/// # Errors
/// `forbidden` for an invalid or expired signature; `overloaded` while the store is not open.
pub fn verify(state: &AppState, uri: &Uri) -> Option<Result<(), Error>> {
    let path = uri.path();
    let job_id = path.strip_prefix("/v1/jobs/")?.strip_suffix("/events")?;
    let (_, signature) = query::pairs(uri.query()?)
        .filter_map(Result::ok)
        .find(|(name, _)| name == "signature")?;
    let Some(secret) = state.jobs.secret() else {
        let detail = "the link cannot be verified now, because the job store is not open; try again in a moment";
        return Some(Err(
            Error::new(Code::Overloaded, detail).retry_after(RETRY_AFTER)
        ));
    };
    let verified = signed_link::verify(&secret, job_id, &signature, now_seconds());
    Some(verified.map_err(|error| Error::new(Code::Forbidden, error.to_string())))
}

fn now_seconds() -> u64 {
    crate::types::clock::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
