//! Errors of a provider's responses: what they mean for the call, and what the next call omits.

use std::borrow::Cow;
use std::time::Instant;

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::echo::{own_words, own_words_of_chat};
use super::{HttpCall, HttpProvider, memory};
use crate::provider::adaptation::Adaptation;
use crate::provider::answer::{Answer, Finish};
use crate::provider::chat::ChatRequest;
use crate::provider::error_body::UpstreamErrorBody;
use crate::provider::error_table::{ErrorClass, classify};
use crate::provider::failure::{Failure, FailureKind};
use crate::provider::lenient_json::JsonText;
use crate::provider::limit_scope::limits_whole_key;
use crate::provider::own_words::OwnWords;
use crate::provider::partial_answer::PartialAnswer;
use crate::provider::rate_limit_headers::quota_from_headers;
use crate::provider::request::Request;
use crate::provider::request_parts::TOOL_NAME;
use crate::provider::request_shape::{RequestShape, Unsupported};
use crate::provider::retry_hint::retry_after;
use crate::provider::unsupported_feature::{
    Detected, detect_unsupported, is_about_value, remaining_output_limit,
};
use crate::telemetry;
use crate::types::Mode;

impl HttpProvider {
    /// Returns the failure of an error response. A refusal, and an answer that the provider rejected as invalid, are answers.
    ///
    /// `status` is the HTTP status, or the one that the code of an error within a 200 response stands for; `None`: such an error
    /// without a code.
    pub(super) async fn error_response(
        &self,
        call: &HttpCall<'_>,
        status: Option<u16>,
        error: &UpstreamErrorBody,
    ) -> Result<Answer, Failure> {
        let code = status.unwrap_or(StatusCode::OK.as_u16());
        let own_words = own_words(call.request, error).await;
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
                let answer = failed_generation(error).into_answer(mode, quota);
                let answer = self.secrets().mask_answer(answer);
                memory::for_answer(call.request.memory, |memory| memory.decoded(&answer.text))?;
                return Ok(answer);
            }
            _ => {}
        }
        let is_adapted = self.adapt(call, code, class, error, &own_words.text);
        let failure = self.failure(&call.response_headers, status, class, error, &own_words);
        let detail = self.with_first_error(call, is_adapted, failure.detail);
        Err(Failure {
            kind: if is_adapted {
                FailureKind::Adapted
            } else {
                failure.kind
            },
            detail: self.with_location(&call.response_headers, code, detail),
            ..failure
        })
    }

    /// Returns the failure of an error response of this class.
    fn failure(
        &self,
        headers: &HeaderMap,
        status: Option<u16>,
        class: ErrorClass,
        error: &UpstreamErrorBody,
        own_words: &OwnWords,
    ) -> Failure {
        let code = status.unwrap_or(StatusCode::OK.as_u16());
        let message = self.redact(&error.message);
        Failure {
            kind: failure_kind(status, class),
            class,
            http_status: status,
            detail: format!("{} answered {code}: {message}", self.address),
            retry_after: retry_after(
                headers,
                error.retry_after,
                &own_words.text,
                is_for_now(code, class),
                crate::types::clock::now(),
            ),
            limits_key: limits_whole_key(error, own_words, code),
            should_retry: should_retry(headers),
            remaining_quota: quota_from_headers(headers),
        }
    }

    /// Returns the failure of an error response to a chat completion that is passed through. Nothing is learned from it.
    pub(super) async fn chat_failure(
        &self,
        chat: &ChatRequest<'_>,
        headers: &HeaderMap,
        status: Option<u16>,
        error: &UpstreamErrorBody,
    ) -> Failure {
        let code = status.unwrap_or(StatusCode::OK.as_u16());
        let own_words = own_words_of_chat(chat, error).await;
        let class = classify(error, &own_words, code);
        let failure = self.failure(headers, status, class, error, &own_words);
        Failure {
            detail: self.with_location(headers, code, failure.detail),
            ..failure
        }
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
    fn with_location(&self, headers: &HeaderMap, status: u16, detail: String) -> String {
        let location = headers.get(LOCATION);
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
            let detected = detected.map(|found| Detected {
                is_proven_for_model: found.is_proven_for_model
                    && !(is_value_callers(request, found.feature)
                        && is_about_value(error, own_words)),
                ..found
            });
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
    pub(super) fn confirm_adaptations(&self, request: &Request<'_>) {
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
                address = self.address,
                model = request.model,
                feature = adaptation.feature.as_str(),
                mode = adaptation.mode.as_str(),
                scope,
                "the provider does not support a feature of the requests; they omit it for an hour"
            );
        }
    }
}

/// Returns true if the request has a value of the caller for a feature.
const fn is_value_callers(request: &Request<'_>, feature: Unsupported) -> bool {
    match feature {
        Unsupported::Temperature => request.temperature != 0.0,
        Unsupported::OutputLimit => request.max_output_tokens.is_some(),
        Unsupported::Seed => true,
        _ => false,
    }
}

/// Returns the adaptation for a detected feature, or `None` if the request cannot do without it.
fn adaptation(
    request: &Request<'_>,
    shape: RequestShape,
    detected: Detected,
) -> Option<Adaptation> {
    // What a caller's own fields provoke says nothing about requests without them.
    let is_for_model = detected.is_proven_for_model && !request.has_callers_fields;
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
        (_, Some(402)) | (ErrorClass::QuotaExhausted | ErrorClass::Unaffordable, _) => {
            FailureKind::Exhausted
        }
        (ErrorClass::TooLong, _) => FailureKind::TooLong,
        (ErrorClass::InvalidKey, _) => FailureKind::Status(401),
        // Also where the key is valid, but not for this model.
        (ErrorClass::UnknownModel, _) => FailureKind::UnknownModel,
        (ErrorClass::RateLimited, _) => FailureKind::Status(429),
        (ErrorClass::Overloaded, None) => FailureKind::Status(503),
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
