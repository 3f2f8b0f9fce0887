//! Content negotiation: the request's format by `Content-Type`, the response's format by `Accept`.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};

use crate::types::{Code, Error, truncate_for_display};

/// Format of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFormat {
    Json,
    Ndjson,
}

/// Format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    Json,
    Sse,
    Ndjson,
}

/// Returns the body's format, by its content type.
///
/// # Errors
/// `unsupported_media_type`, with a list of the supported types.
pub fn request_format(headers: &HeaderMap) -> Result<RequestFormat, Error> {
    if let Some(encoding) = headers
        .get(CONTENT_ENCODING)
        .filter(|encoding| *encoding != "identity")
    {
        let detail = format!(
            "the content encoding {encoding:?} is not supported; send the body uncompressed"
        );
        return Err(Error::new(Code::UnsupportedMediaType, detail));
    }
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|header| header.to_str().ok())
        .unwrap_or_default();
    let mut parts = header
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let other_charset = parts.any(|part| {
        part.strip_prefix("charset=")
            .is_some_and(|set| set.trim_matches('"') != "utf-8")
    });
    match media.as_str() {
        _ if other_charset => Err(unsupported(header)),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            Ok(RequestFormat::Ndjson)
        }
        json if json == "application/json"
            || json.starts_with("application/") && json.ends_with("+json") =>
        {
            Ok(RequestFormat::Json)
        }
        _ => Err(unsupported(header)),
    }
}

fn unsupported(header: &str) -> Error {
    let problem = if header.is_empty() {
        "the `Content-Type` header is missing".to_owned()
    } else {
        format!(
            "`Content-Type: {}` is not supported",
            truncate_for_display(header)
        )
    };
    let curl = if header.starts_with("application/x-www-form-urlencoded") {
        ". With curl: -H 'Content-Type: application/json'; for NDJSON -H 'Content-Type: application/x-ndjson' --data-binary @FILE"
    } else {
        ""
    };
    Error::new(
        Code::UnsupportedMediaType,
        format!(
            "{problem}; send `application/json` in UTF-8; /v1/extract/batch and /v1/jobs also accept `application/x-ndjson`{curl}"
        ),
    )
}

/// Returns the response's format: the first of NDJSON and SSE in `Accept`; else SSE if the request has `stream`; else JSON.
pub fn response_format(headers: &HeaderMap, stream: bool) -> ResponseFormat {
    let accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','));
    for media in accepted {
        let mut parts = media.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_excluded = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        match name.as_str() {
            _ if is_excluded => {}
            "text/event-stream" => return ResponseFormat::Sse,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                return ResponseFormat::Ndjson;
            }
            _ => {}
        }
    }
    if stream {
        ResponseFormat::Sse
    } else {
        ResponseFormat::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn formats_follow_content_type_and_accept() {
        for (accept, stream, expected) in [
            ("*/*", false, ResponseFormat::Json),
            ("*/*", true, ResponseFormat::Sse),
            ("application/json", false, ResponseFormat::Json),
            ("text/event-stream", false, ResponseFormat::Sse),
            (
                "application/json, application/x-ndjson",
                true,
                ResponseFormat::Ndjson,
            ),
            ("text/event-stream;q=0, */*", false, ResponseFormat::Json),
        ] {
            assert_eq!(
                response_format(&headers(ACCEPT, accept), stream),
                expected,
                "{accept}"
            );
        }
        assert_eq!(
            request_format(&headers(CONTENT_TYPE, "application/json; charset=UTF-8")),
            Ok(RequestFormat::Json)
        );
        assert_eq!(
            request_format(&headers(CONTENT_TYPE, "application/x-ndjson")),
            Ok(RequestFormat::Ndjson)
        );
        for wrong in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
        ] {
            assert_eq!(
                request_format(&headers(CONTENT_TYPE, wrong))
                    .unwrap_err()
                    .code,
                Code::UnsupportedMediaType
            );
        }
        assert!(request_format(&HeaderMap::new()).is_err());
    }
}
