//! HTTP transport of every remote provider: sends the encoded request, decodes the response, and
//! turns errors into failures.
//!
//! API keys and configured header values are redacted from every message of the provider.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::capability_cache::CapabilityCache;
use super::error_body::{ErrorClass, UpstreamErrorBody};
use super::extra_body;
use super::failure::{Failure, FailureKind};
use super::interface::{BoxFuture, Provider};
use super::partial_answer::{DecodeError, PartialAnswer};
use super::rate_limit_headers::quota_from_headers;
use super::request::Request;
use super::request_shape::RequestShape;
use super::stream_decoder::{DeltaEmitter, StreamDecoder};
use super::unknown_model::names_unknown_model;
use super::unsupported_feature::detect_unsupported;
use super::wire_format::WireFormat;
use crate::net::{self, Client, Incoming, Url};
use crate::types::{Dialect, FieldError, Mode};

/// Maximum length of a provider's message in a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;

/// Provider that is called over HTTP.
#[derive(Debug)]
pub struct HttpProvider {
    wire: Box<dyn WireFormat>,
    client: Client,
    base_url: Url,
    key_header: HeaderName,
    /// Header value of each API key; empty: calls carry no key.
    keys: Vec<HeaderValue>,
    /// Values to redact from the provider's messages: API keys and configured headers.
    secrets: Vec<SecretString>,
    capabilities: CapabilityCache,
}

/// Call that has a response.
struct HttpCall<'a> {
    request: &'a Request<'a>,
    shape: RequestShape,
    response_headers: HeaderMap,
}

impl HttpProvider {
    /// Creates a provider at a base URL. `headers` are the values of configured headers, which
    /// `client` sends by itself.
    #[must_use]
    pub fn new(
        wire: Box<dyn WireFormat>,
        client: Client,
        base_url: &Url,
        keys: &[SecretString],
        headers: Vec<SecretString>,
    ) -> Self {
        let (name, prefix) = wire.key_header();
        let key_headers = keys
            .iter()
            .filter_map(|key| HeaderValue::try_from([prefix, key.expose_secret()].concat()).ok())
            .map(|mut key| {
                key.set_sensitive(true);
                key
            });
        Self {
            client,
            base_url: base_url.clone(),
            key_header: HeaderName::from_static(name),
            keys: key_headers.collect(),
            secrets: keys.iter().cloned().chain(headers).collect(),
            capabilities: CapabilityCache::default(),
            wire,
        }
    }

    async fn call_once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let shape = self.capabilities.request_shape(request, self.wire.modes());
        let url = self.url(request, shape)?;
        let mut incoming = self
            .client
            .post(&url, self.headers(request), self.body(request, shape))
            .await
            .map_err(|error| self.transport_failure(&error))?;
        let call = HttpCall {
            request,
            shape,
            response_headers: std::mem::take(&mut incoming.headers),
        };
        let mut deltas = DeltaEmitter::new(request.on_text, shape.mode);
        let decoded = if incoming.status != StatusCode::OK {
            let status = incoming.status.as_u16();
            let error = self.wire.decode_error(&self.read_body(incoming).await?);
            return self.error_response(&call, status, &error);
        } else if shape.stream && !is_json(&call.response_headers) {
            self.decode_stream(shape, incoming, &mut deltas).await?
        } else {
            self.wire.decode(&self.read_body(incoming).await?)
        };
        match decoded {
            Ok(partial) => {
                let quota = quota_from_headers(&call.response_headers);
                let answer = partial.into_answer(shape.mode, quota);
                deltas.emit(&answer.text);
                Ok(answer)
            }
            Err(DecodeError::Malformed(reason)) => Err(Failure::new(
                FailureKind::Broken,
                format!("response of {}: {}", self.address(), self.redact(&reason)),
            )),
            Err(DecodeError::ErrorBody(error)) => match error.status {
                Some(status) => self.error_response(&call, status, &error),
                None => self
                    .error_response(&call, StatusCode::OK.as_u16(), &error)
                    .map_err(Failure::into_broken),
            },
        }
    }

    /// Returns the request's body: from the template if possible, since all items of a batch share
    /// it.
    fn body(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        let encode = |input: &str| {
            let body = self.wire.encode(&Request { input, ..*request }, shape);
            match request.extra_body {
                Some(fields) => extra_body::merge(body, fields),
                None => body,
            }
        };
        let from_template = if request.feedback.is_none() {
            let key = (shape, request.max_output_tokens);
            request.template.body(key, request.input, encode)
        } else {
            None
        };
        from_template.unwrap_or_else(|| self.wire.encode(request, shape))
    }

    async fn read_body(&self, incoming: Incoming) -> Result<Bytes, Failure> {
        let response = incoming
            .whole()
            .await
            .map_err(|error| self.transport_failure(&error))?;
        Ok(response.body)
    }

    /// Reads a stream to its end. The outer error is a transport failure.
    async fn decode_stream(
        &self,
        shape: RequestShape,
        mut incoming: Incoming,
        deltas: &mut DeltaEmitter<'_>,
    ) -> Result<Result<PartialAnswer, DecodeError>, Failure> {
        let mut decoder = StreamDecoder::new(&*self.wire, shape.mode);
        loop {
            let bytes = incoming
                .chunk()
                .await
                .map_err(|error| self.transport_failure(&error))?;
            match decoder.push(bytes.as_deref(), deltas) {
                Err(error) => return Ok(Err(error)),
                Ok(_) if bytes.is_none() => break,
                Ok(true) => {
                    incoming.finish().await;
                    break;
                }
                Ok(false) => {}
            }
        }
        Ok(decoder.finish())
    }

    /// Returns the failure of an error response. A content filter's error is a refusal instead,
    /// which is an answer.
    fn error_response(
        &self,
        call: &HttpCall<'_>,
        status: u16,
        error: &UpstreamErrorBody,
    ) -> Result<Answer, Failure> {
        let headers = &call.response_headers;
        let message = self.redact(&error.message);
        let remaining_quota = quota_from_headers(headers);
        if error.class == ErrorClass::ContentFiltered {
            let refusal = PartialAnswer {
                refusal: message,
                ..PartialAnswer::default()
            };
            return Ok(refusal.into_answer(call.shape.mode, remaining_quota));
        }
        let kind = if self.adapt(call, status, error) {
            FailureKind::Adapted
        } else {
            failure_kind(status, error)
        };
        Err(Failure {
            kind,
            detail: format!("{} answered {status}: {message}", self.address()),
            retry_after: net::retry_after(headers, crate::types::clock::now())
                .or(error.retry_after),
            should_retry: should_retry(headers),
            remaining_quota,
        })
    }

    /// Records the unsupported feature that an error names. Returns true if the next call will omit
    /// it.
    fn adapt(&self, call: &HttpCall<'_>, status: u16, error: &UpstreamErrorBody) -> bool {
        if !matches!(status, 400 | 422 | 500 | 501) {
            return false;
        }
        let (request, shape) = (call.request, call.shape);
        let patterns = self.wire.error_patterns();
        let Some(feature) = detect_unsupported(status, error, shape, patterns) else {
            return false;
        };
        let is_adapted = self
            .capabilities
            .record_unsupported(request, shape, feature);
        if is_adapted {
            tracing::info!(
                address = self.address(),
                model = request.model,
                mode = shape.mode.as_str(),
                ?feature,
                "the provider does not support a feature of the request; calling again without it"
            );
        }
        is_adapted
    }

    fn url(&self, request: &Request<'_>, shape: RequestShape) -> Result<Url, Failure> {
        let path = self.wire.path(request.model, shape.stream).ok_or_else(|| {
            let detail = format!(
                "{} takes the model's name in the URL path, and this name cannot be a path segment; check `model`",
                self.address()
            );
            Failure::new(FailureKind::Unusable, detail)
        })?;
        let (path, query) = path
            .split_once('?')
            .map_or((&*path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base_url.clone();
        url.set_path(&[self.base_url.path().trim_end_matches('/'), "/", path].concat());
        url.set_query(query);
        Ok(url)
    }

    fn headers(&self, request: &Request<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = self.keys.get(request.key) {
            headers.insert(self.key_header.clone(), key.clone());
        }
        if let Some(traceparent) = request
            .traceparent
            .and_then(|traceparent| HeaderValue::from_str(traceparent).ok())
        {
            headers.insert("traceparent", traceparent);
        }
        headers
    }

    /// Returns scheme, host and port of the base URL for messages. Path, query and user info may
    /// hold secrets.
    fn address(&self) -> String {
        self.base_url.origin().ascii_serialization()
    }

    fn transport_failure(&self, error: &net::Error) -> Failure {
        let kind = match error {
            net::Error::Connect(_) => FailureKind::Connect,
            net::Error::Broken(_) | net::Error::TooLarge(_) => FailureKind::Broken,
        };
        Failure::new(kind, format!("calling {}: {error}", self.address()))
    }

    /// Replaces secrets in a provider's message, and truncates it.
    fn redact(&self, message: &str) -> String {
        let secrets = self
            .secrets
            .iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| !secret.is_empty());
        let mut redacted = secrets.fold(message.to_owned(), |message, secret| {
            message.replace(secret, "****")
        });
        redacted.truncate(redacted.floor_char_boundary(MAX_MESSAGE_BYTES));
        redacted
    }
}

fn failure_kind(status: u16, error: &UpstreamErrorBody) -> FailureKind {
    match error.class {
        // Payment required, whatever the provider's message is.
        _ if status == 402 => FailureKind::Exhausted,
        ErrorClass::QuotaExhausted if (400..500).contains(&status) => FailureKind::Exhausted,
        ErrorClass::RequestTooLarge if status == 429 => FailureKind::TooLong,
        ErrorClass::InvalidKey => FailureKind::Status(401),
        _ if names_unknown_model(status, &error.message) => FailureKind::UnknownModel,
        ErrorClass::Status
        | ErrorClass::QuotaExhausted
        | ErrorClass::RequestTooLarge
        | ErrorClass::ContentFiltered => FailureKind::Status(status),
    }
}

/// Returns the value of the `x-should-retry` header of OpenAI and Anthropic; `None`: absent or
/// unknown.
fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry").map(HeaderValue::as_bytes) {
        Some(b"true") => Some(true),
        Some(b"false") => Some(false),
        _ => None,
    }
}

/// Returns true if the response is plain JSON: some servers ignore `stream` and answer at once.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    content_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

impl Provider for HttpProvider {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.call_once(request))
    }

    fn modes(&self) -> &'static [Mode] {
        self.wire.modes()
    }

    fn dialect(&self, mode: Mode) -> &'static Dialect {
        self.wire.dialect(mode)
    }

    fn check_extra_body(&self, fields: &Map<String, Value>) -> Result<(), FieldError> {
        extra_body::check(self.wire.reserved_fields(), fields)
    }

    fn address(&self) -> Option<String> {
        Some(self.address())
    }
}
