//! `GET /` and `/ui/…`: the web page, which is built from `ui/` and embedded here.

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

/// Entity tag of each file, in the order of `ASSETS`.
static TAGS: LazyLock<[String; 4]> = LazyLock::new(|| {
    ASSETS.each_ref().map(|asset| {
        let hash = Sha256::digest(asset.plain);
        let hex: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("W/\"{hex}\"")
    })
});

/// Returns the page, which requests nothing from other servers.
pub async fn page(headers: HeaderMap) -> Response {
    respond(0, &headers)
}

/// Returns a file of the page.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    match ASSETS.iter().position(|asset| asset.name == name) {
        Some(index) => Ok(respond(index, &headers)),
        None => Err(Error::new(
            Code::NotFound,
            "the page has no file of this name; open `/` for the page",
        )
        .into()),
    }
}

fn respond(index: usize, headers: &HeaderMap) -> Response {
    let (asset, tag) = (&ASSETS[index], TAGS[index].as_str());
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
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let content_type = [(CONTENT_TYPE, asset.content_type)];
    if accepts_gzip(header(headers, &ACCEPT_ENCODING)) {
        let encoding = [(CONTENT_ENCODING, "gzip")];
        return (common, content_type, encoding, asset.gzip).into_response();
    }
    (common, content_type, asset.plain).into_response()
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
