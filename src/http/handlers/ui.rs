//! `GET /` and `/ui/…`: the web page, which is built from `ui/` and embedded here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::super::problem::ApiError;
use crate::types::{Code, Error};

/// The page's policy: its own files and this server's API, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// Embeds a file of the build output with its compressed variant.
macro_rules! asset {
    ($name:literal, $content_type:literal) => {
        Asset {
            name: $name,
            content_type: $content_type,
            plain: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/ui/dist/", $name)),
            gzip: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/ui/dist/",
                $name,
                ".gz"
            )),
        }
    };
}

static ASSETS: [Asset; 4] = [
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("app.js", "text/javascript; charset=utf-8"),
    asset!("app.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
];

/// Files by name, each with its entity tag.
static FILES: LazyLock<BTreeMap<&str, (&Asset, String)>> = LazyLock::new(|| {
    let entry = |asset: &'static Asset| (asset.name, (asset, entity_tag(asset.plain)));
    ASSETS.iter().map(entry).collect()
});

/// Returns the tag of a file: weak, because it is that of the compressed variant too.
fn entity_tag(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let short = hash
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("W/\"{short:016x}\"")
}

/// Returns the page, which requests nothing from other servers.
pub async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    respond("index.html", &headers)
}

/// Returns a file of the page.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    respond(&name, &headers)
}

fn respond(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let Some((asset, tag)) = FILES.get(name) else {
        let detail = "the page has no file of this name; open `/` for the page";
        return Err(Error::new(Code::NotFound, detail).into());
    };
    let tag = tag.as_str();
    // The names are the same in every version, so a browser asks each time.
    let common = [
        (CACHE_CONTROL, "no-cache"),
        (ETAG, tag),
        (VARY, "accept-encoding"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let is_known = header(headers, &IF_NONE_MATCH)
        .split(',')
        .any(|known| matches!(known.trim(), "*") || known.trim() == tag);
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let content_type = [(CONTENT_TYPE, asset.content_type)];
    if accepts_gzip(header(headers, &ACCEPT_ENCODING)) {
        let encoding = [(CONTENT_ENCODING, "gzip")];
        return Ok((common, content_type, encoding, asset.gzip).into_response());
    }
    Ok((common, content_type, asset.plain).into_response())
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Returns true if `Accept-Encoding` names gzip with a weight above 0.
fn accepts_gzip(accept: &str) -> bool {
    accept.split(',').any(|part| {
        let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        coding.trim().eq_ignore_ascii_case("gzip")
            && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests;
