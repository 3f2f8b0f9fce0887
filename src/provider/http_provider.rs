//! HTTP transport of every remote provider: sends the encoded request, decodes the response, and
//! turns errors into failures.
//!
//! API keys and configured header values are redacted from every message of the provider.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::adaptation::Adaptation;
use super::answer::{Answer, Finish};
use super::capability_cache::{ActiveAdaptation, CapabilityCache};
use super::error_body::UpstreamErrorBody;
use super::error_table::{ErrorClass, classify};
use super::failure::{Failure, FailureKind};
use super::interface::{BoxFuture, Provider};
use super::lenient_json::JsonText;
use super::partial_answer::{DecodeError, PartialAnswer};
use super::phrase::without_echo;
use super::rate_limit_headers::quota_from_headers;
use super::request::Request;
use super::request_parts::TOOL_NAME;
use super::request_shape::{RequestShape, Unsupported};
use super::retry_hint::retry_after;
use super::stream_decoder::{DeltaEmitter, StreamDecoder};
use super::unsupported_feature::{Detected, detect_unsupported, remaining_output_limit};
use super::wire_format::WireFormat;
use crate::net::{self, Client, Incoming, Url};
use crate::telemetry;
use crate::types::{Dialect, Mode};

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
        let shape = request.trial.with(self.target(request), |trial| {
            let modes = self.wire.modes();
            self.capabilities
                .request_shape(request, modes, trial, Instant::now())
        });
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
        if !incoming.status.is_success() {
            let status = incoming.status.as_u16();
            let error = self.wire.decode_error(&self.read_body(incoming).await?);
            return self.error_response(&call, Some(status), &error);
        }
        let mut deltas = DeltaEmitter::new(request.on_text, shape.mode);
        match self.decode_response(shape, incoming, &mut deltas).await? {
            Ok(partial) => {
                self.confirm_adaptations(request);
                let quota = quota_from_headers(&call.response_headers);
                let answer = partial.into_answer(shape.mode, quota);
                deltas.emit(&answer.text);
                Ok(answer)
            }
            Err(DecodeError::Malformed(reason)) => Err(Failure::new(
                FailureKind::Broken,
                format!("response of {}: {}", self.address(), self.redact(&reason)),
            )),
            Err(DecodeError::ErrorBody(error)) => self.error_response(&call, error.status, &error),
        }
    }

    /// Returns the hash of a model of this server, for trials.
    fn target(&self, request: &Request<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        std::ptr::from_ref(self).addr().hash(&mut hasher);
        request.model.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the request's body: from the template if possible, since all items of a batch share
    /// it.
    fn body(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        let encode = |input: &str| self.wire.encode(&Request { input, ..*request }, shape);
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

    /// Reads a response, streamed or whole, to its end. The outer error is a transport failure.
    async fn decode_response(
        &self,
        shape: RequestShape,
        mut incoming: Incoming,
        deltas: &mut DeltaEmitter<'_>,
    ) -> Result<Result<PartialAnswer, DecodeError>, Failure> {
        let mut decoder = StreamDecoder::new(&*self.wire, shape.mode, shape.stream);
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

    /// Returns the failure of an error response. A refusal, and an answer that the provider rejected as invalid, are answers.
    ///
    /// `status` is the HTTP status, or the one that the code of an error within a 200 response stands for; `None`: such an error
    /// without a code.
    fn error_response(
        &self,
        call: &HttpCall<'_>,
        status: Option<u16>,
        error: &UpstreamErrorBody,
    ) -> Result<Answer, Failure> {
        let code = status.unwrap_or(StatusCode::OK.as_u16());
        let own_words = without_echo(&error.message, call.request.input);
        let class = classify(error, &own_words, code);
        let message = self.redact(&error.message);
        let quota = quota_from_headers(&call.response_headers);
        let mode = call.shape.mode;
        match class {
            ErrorClass::Refused => {
                let refusal = PartialAnswer {
                    refusal: message,
                    ..PartialAnswer::default()
                };
                return Ok(refusal.into_answer(mode, quota));
            }
            ErrorClass::InvalidGeneration => {
                return Ok(failed_generation(error).into_answer(mode, quota));
            }
            _ => {}
        }
        let is_adapted = self.adapt(call, code, class, error, &own_words);
        let kind = if is_adapted {
            FailureKind::Adapted
        } else {
            failure_kind(status, class)
        };
        let detail = format!("{} answered {code}: {message}", self.address());
        Err(Failure {
            kind,
            class,
            http_status: status,
            detail: self.with_location(call, code, self.with_first_error(call, is_adapted, detail)),
            retry_after: retry_after(
                &call.response_headers,
                error.retry_after,
                &error.message,
                is_for_now(code, class),
                crate::types::clock::now(),
            ),
            should_retry: should_retry(&call.response_headers),
            remaining_quota: quota,
        })
    }

    /// Adds the error after which another mode was tried, if that did not help either.
    fn with_first_error(&self, call: &HttpCall<'_>, is_adapted: bool, detail: String) -> String {
        let target = self.target(call.request);
        call.request.trial.with(target, |trial| {
            if is_adapted {
                return detail;
            }
            match trial.unexplained.take() {
                Some(first) if !detail.ends_with(&first) => {
                    format!("{detail}; before, in another mode: {first}")
                }
                _ => detail,
            }
        })
    }

    /// Adds the target of a redirect, which is not followed: it would send the API key elsewhere.
    fn with_location(&self, call: &HttpCall<'_>, status: u16, detail: String) -> String {
        let location = call.response_headers.get(LOCATION);
        match location.and_then(|location| location.to_str().ok()) {
            Some(location) if (300..400).contains(&status) => {
                let location = location.split(['?', '#']).next().unwrap_or_default();
                let location = self.redact(location);
                format!(
                    "{detail}; it redirects to {location}, which is not followed; check `base_url`"
                )
            }
            _ => detail,
        }
    }

    /// Tries another shape of the request after an error. Returns true if the next call will have it.
    fn adapt(
        &self,
        call: &HttpCall<'_>,
        status: u16,
        class: ErrorClass,
        error: &UpstreamErrorBody,
        own_words: &str,
    ) -> bool {
        let (request, shape) = (call.request, call.shape);
        request.trial.with(self.target(request), |trial| {
            // A limit that the caller did not ask for.
            if class == ErrorClass::TooLong
                && request.max_output_tokens.is_none()
                && trial.output_limit.is_none()
            {
                trial.output_limit = remaining_output_limit(own_words);
                return trial.output_limit.is_some();
            }
            if class == ErrorClass::Status && matches!(status, 400 | 404 | 422) {
                trial.hear(own_words);
            }
            let detected = detect_unsupported(status, class, error, own_words, shape);
            if let Some(adaptation) = detected.and_then(|found| adaptation(request, shape, found))
                && trial.add(adaptation)
            {
                return true;
            }
            let is_unexplained = matches!(status, 400 | 422)
                && class == ErrorClass::Status
                // An error that names its parameter is explained.
                && error.param.is_none()
                && trial.unexplained.is_none();
            let next_mode = Detected {
                feature: Unsupported::Schema,
                is_proven_for_model: false,
            };
            match adaptation(request, shape, next_mode) {
                Some(adaptation) if is_unexplained => {
                    trial.unexplained = Some(self.redact(&error.message));
                    trial.add(adaptation)
                }
                _ => false,
            }
        })
    }

    /// Records the adaptations of the item, because a call with them succeeded.
    fn confirm_adaptations(&self, request: &Request<'_>) {
        let adaptations = request.trial.with(self.target(request), |trial| {
            trial.unexplained = None;
            std::mem::take(&mut trial.hypotheses)
        });
        if adaptations.is_empty() {
            return;
        }
        for adaptation in self
            .capabilities
            .record(request, &adaptations, Instant::now())
        {
            let scope = adaptation.scope();
            telemetry::count_adaptation(adaptation.feature.as_str(), scope);
            tracing::info!(
                address = self.address(),
                model = request.model,
                feature = adaptation.feature.as_str(),
                mode = adaptation.mode.as_str(),
                scope,
                "the provider does not support a feature of the requests; they omit it for an hour"
            );
        }
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

/// Returns the adaptation for a detected feature, or `None` if the request cannot do without it.
fn adaptation(
    request: &Request<'_>,
    shape: RequestShape,
    detected: Detected,
) -> Option<Adaptation> {
    let is_for_model = detected.is_proven_for_model;
    match detected.feature {
        feature @ (Unsupported::Mode | Unsupported::Schema) => {
            // A caller that names a mode wants no other.
            let has_other_mode = shape.mode != Mode::Text && request.mode == Mode::Auto;
            has_other_mode.then_some(Adaptation {
                feature,
                mode: shape.mode,
                is_for_model,
            })
        }
        feature => (!shape.unsupported.has(feature)).then_some(Adaptation {
            feature,
            mode: Mode::Auto,
            is_for_model,
        }),
    }
}

/// Returns the answer that a provider rejected as invalid: it may be valid after all, and if not, its errors go back to the model.
fn failed_generation(error: &UpstreamErrorBody) -> PartialAnswer {
    let text = error.failed_generation.as_deref().unwrap_or_default();
    let is_cut = error.message.contains("max completion tokens");
    PartialAnswer {
        content: tool_arguments(text).unwrap_or_else(|| text.to_owned()),
        finish: Some(if is_cut {
            Finish::Length
        } else {
            Finish::Unknown
        }),
        ..PartialAnswer::default()
    }
}

/// Returns the arguments of a text that is a call of our tool: `{"name": "extract", "arguments": {…}}`, alone or in a list.
fn tool_arguments(text: &str) -> Option<String> {
    let text = JsonText::parse(text.trim().as_bytes()).ok()?;
    let root = text.root();
    let calls = root.get("tool_calls");
    let call = if calls.is_null() { root } else { calls };
    let call = call.items().first()?.members();
    let function = call.get("function").members();
    let call = if function.is_empty() { call } else { function };
    if call.get("name").string()? != TOOL_NAME {
        return None;
    }
    let arguments = ["arguments", "parameters"]
        .map(|name| call.get(name))
        .into_iter()
        .find(|arguments| !arguments.is_null())?;
    Some(
        arguments
            .string()
            .map_or_else(|| arguments.json().to_owned(), Cow::into_owned),
    )
}

/// Returns true if an error passes by itself, so that the words and headers about its end are read.
const fn is_for_now(status: u16, class: ErrorClass) -> bool {
    matches!(status, 429 | 503 | 529)
        || matches!(class, ErrorClass::RateLimited | ErrorClass::Overloaded)
}

/// Returns the kind of a failure. `status` is `None` for an error within a 200 response whose code stands for no status.
fn failure_kind(status: Option<u16>, class: ErrorClass) -> FailureKind {
    match (class, status) {
        // Payment required, whatever the provider's message is.
        (_, Some(402)) | (ErrorClass::QuotaExhausted, _) => FailureKind::Exhausted,
        (ErrorClass::TooLong, _) => FailureKind::TooLong,
        (ErrorClass::InvalidKey, _) => FailureKind::Status(401),
        // The key is valid, but not for this model.
        (ErrorClass::UnknownModel, None | Some(401 | 403)) => FailureKind::Status(404),
        (ErrorClass::RateLimited, _) => FailureKind::Status(429),
        (ErrorClass::Overloaded, Some(status @ (429 | 503 | 529))) => FailureKind::Status(status),
        (ErrorClass::Overloaded, _) => FailureKind::Status(503),
        (_, Some(status)) => FailureKind::Status(status),
        (_, None) => FailureKind::Broken,
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

    fn adaptations(&self, model: &str) -> Vec<ActiveAdaptation> {
        self.capabilities.active(model, Instant::now())
    }
}
