//! What every request passes: its id, who may ask, and the form of what fails.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Shared;
use super::jobs::{self, SignedLink};
use super::problem::{self, ApiError};
use crate::contract::millis;
use crate::telemetry;
use crate::types::{Code, Error, Timing};
use throttle::{CallerId, QuotaStatus};

/// A key's SHA-256.
type Digest256 = [u8; 32];

/// The keys that callers may use, as digests, and whose each is. They can be changed while the server runs.
#[derive(Debug, Default)]
pub struct Keys(RwLock<Vec<(Digest256, CallerId)>>);

impl Keys {
    /// Replaces all of them. With none, everyone may call.
    pub fn set(&self, keys: Vec<(Digest256, CallerId)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<(Digest256, CallerId)>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Whose key this is. Takes as long for a wrong one as for a right one.
    fn caller(&self, key: &str) -> Option<CallerId> {
        let digest: Digest256 = Sha256::digest(key).into();
        let keys = self.read();
        keys.iter().fold(None, |found, (known, caller)| {
            if bool::from(known.ct_eq(&digest)) {
                Some(*caller)
            } else {
                found
            }
        })
    }
}

/// The id of a request, as in `x-request-id`.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The caller's id if it is a sane one (up to 128 letters, digits and `-_.:/+=@`), else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        (1..=128).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte))
    };
    match headers.get(REQUEST_ID).filter(sane) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(new_id("req")).unwrap_or(HeaderValue::from_static("req")),
    }
}

/// An id that is unique and sorts by time: `prefix_` and a UUID of version 7.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

/// Wraps every route.
pub async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let text: Arc<str> = id.to_str().unwrap_or_default().into();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    request
        .extensions_mut()
        .insert(RequestId(Arc::clone(&text)));
    let checked = check(&shared, &mut request);
    let caller = checked
        .as_ref()
        .ok()
        .copied()
        .filter(|caller| *caller != CallerId::default());
    let response = match checked {
        Err(error) => ApiError::from(error).into_response(),
        Ok(_) => AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                tracing::error!(request_id = %text, "a request panicked; this is a bug");
                ApiError::from(Error::new(
                    Code::Internal,
                    "a bug in the server ended this request; its log knows more",
                ))
                .into_response()
            }),
    };
    let mut response = as_problem(response, &text);
    let timing = response.extensions().get::<Timing>().copied();
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(SERVER_TIMING, server_timing(timing, started.elapsed()));
    if let Some(standing) = caller.and_then(|caller| shared.extractor.limits().quota_status(caller))
    {
        quota_headers(headers, &standing);
    }
    let path = path.as_ref().map_or("none", MatchedPath::as_str);
    telemetry::count_request(path, response.status().as_u16());
    tracing::debug!(%method, path, status = response.status().as_u16(), request_id = %text, elapsed_ms = millis(started.elapsed()), "answered");
    response
}

/// How the caller stands (draft-ietf-httpapi-ratelimit-headers-10): its quotas of a minute, and what is left of them.
fn quota_headers(headers: &mut HeaderMap, standing: &QuotaStatus) {
    let windows = [("requests", standing.requests), ("tokens", standing.tokens)];
    let windows = windows
        .into_iter()
        .filter_map(|(name, window)| Some((name, window?)));
    let (mut policy, mut left) = (Vec::new(), Vec::new());
    for (name, window) in windows {
        policy.push(format!("\"{name}\";q={};w=60", window.limit));
        left.push(format!(
            "\"{name}\";r={};t={}",
            window.left,
            window.reset.as_secs() + u64::from(window.reset.subsec_nanos() > 0)
        ));
    }
    for (name, items) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Some(value) = Some(items.join(", "))
            .filter(|text| !text.is_empty())
            .and_then(|text| HeaderValue::try_from(text).ok())
        {
            headers.insert(name, value);
        }
    }
}

fn server_timing(timing: Option<Timing>, elapsed: Duration) -> HeaderValue {
    let text = match timing {
        Some(timing) => {
            let (queue, upstream) = (millis(timing.queued), millis(timing.upstream));
            format!(
                "queue;dur={queue}, upstream;dur={upstream}, total;dur={}",
                millis(elapsed)
            )
        }
        None => format!("total;dur={}", millis(elapsed)),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Gives a failure its body.
fn as_problem(mut response: Response, request_id: &str) -> Response {
    if let Some(ApiError(error)) = response.extensions_mut().remove::<ApiError>() {
        return problem::respond(&error, request_id, None);
    }
    let is_bare = response.headers().get("content-type").is_none();
    let (code, detail) = match response.status() {
        StatusCode::NOT_FOUND if is_bare => (
            Code::NotFound,
            "there is nothing under this path; /docs lists what there is",
        ),
        // The router's own word on a path that is no UTF-8.
        StatusCode::BAD_REQUEST => (
            Code::NotFound,
            "there is nothing under this path: it is not UTF-8",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            Code::MethodNotAllowed,
            "this path has other methods; `Allow` names them",
        ),
        _ => return response,
    };
    problem::respond(
        &Error::new(code, detail),
        request_id,
        response.headers().get(ALLOW),
    )
}

/// Paths that need no key. The files of the page and of the reference belong to them.
fn is_open(path: &str) -> bool {
    matches!(
        path,
        "/" | "/healthz" | "/readyz" | "/version" | "/openapi.json" | "/docs"
    ) || path.starts_with("/docs/")
}

/// Paths that are asked by machines which call the server by its address.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Who asks, if they may.
fn check(shared: &Shared, request: &mut Request) -> Result<CallerId, Error> {
    let caller = caller(shared, request)?;
    if signed(shared, request.uri()).is_some_and(|signed| signed.is_ok()) {
        request.extensions_mut().insert(SignedLink);
    }
    request.extensions_mut().insert(caller);
    Ok(caller)
}

/// Whether the signature of a link is right; `None`: it has none.
fn signed(shared: &Shared, uri: &Uri) -> Option<Result<(), Error>> {
    jobs::signed_by_link(shared, uri.path(), uri.query()?)
}

fn caller(shared: &Shared, request: &Request) -> Result<CallerId, Error> {
    if shared.keys.is_empty() {
        if !is_probe(request.uri().path()) {
            check_host(shared, request)?;
        }
        return Ok(CallerId::default());
    }
    let sent = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|header| header.to_str().ok());
    let key = sent
        .and_then(|sent| sent.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match key.and_then(|(_, key)| shared.keys.caller(key.trim())) {
        Some(caller) => Ok(caller),
        None if is_open(request.uri().path()) => Ok(CallerId::default()),
        None if sent.is_none()
            && let Some(signed) = signed(shared, request.uri()) =>
        {
            signed.map(|()| CallerId::default())
        }
        None => {
            let detail = match sent {
                None => "send one of the configured keys as `Authorization: Bearer …`",
                Some(_) => "the key in `Authorization` is not one of the configured ones",
            };
            Err(Error::new(Code::Unauthorized, detail))
        }
    }
}

/// Without keys only the loopback and configured names are answered, so that a page in a browser on this machine cannot
/// reach the server under a name of its own (DNS rebinding).
fn check_host(shared: &Shared, request: &Request) -> Result<(), Error> {
    let header = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = header
        .or(request
            .uri()
            .authority()
            .map(axum::http::uri::Authority::as_str))
        .map(str::to_ascii_lowercase);
    let name = host.as_deref().map(without_port);
    match name {
        Some(name) if is_loopback(name) || shared.hosts.iter().any(|known| known == name) => Ok(()),
        _ => Err(Error::new(
            Code::Forbidden,
            format!(
                "the host name {} is not answered while no keys are configured; add it to `server.hosts` (EXTRACTD_HOSTS), or configure keys",
                host.as_deref()
                    .map_or("(none)".to_owned(), |host| format!("\"{host}\"")),
            ),
        )),
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The caller's trace (W3C Trace Context, version 00), if it is one.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    let is_hex = parts
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths == [2, 32, 16, 2] && is_hex).then(|| text.to_owned())
}

/// Refuses a query on a path that takes none.
pub fn no_query(uri: &Uri) -> Result<(), Error> {
    match uri
        .query()
        .and_then(|query| super::query::pairs(query).next())
        .transpose()?
    {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid(
            crate::types::pointer("", &name),
            "this path takes no such query parameter",
        )),
    }
}
