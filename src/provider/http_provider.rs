//! HTTP transport of every remote provider: sends the encoded request, decodes the response, and
//! turns errors into failures.
//!
//! API keys and configured header values are redacted from every message of the provider.

mod chat;
mod echo;
mod errors;
mod held_chunks;
mod memory;
mod secrets;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::call_memory::CallMemory;
use super::capability_cache::{ActiveAdaptation, CapabilityCache};
use super::chat::ChatRequest;
use super::extra_body;
use super::failure::{Failure, FailureKind};
use super::genai_names::GenAiNames;
use super::interface::{Provider, RequestPreview};
use super::partial_answer::{DecodeError, PartialAnswer};
use super::rate_limit_headers::quota_from_headers;
use super::request::Request;
use super::request_shape::RequestShape;
use super::stream_decoder::{DeltaEmitter, StreamDecoder};
use super::usage_check::UsageCheck;
use super::wire_format::WireFormat;
use crate::long_work::{LONG_TEXT_BYTES, run_long, run_off_worker};
use crate::net::{self, Client, Incoming, Url};
use crate::types::{Dialect, FieldError, Mode, TraceContext};
use futures_util::future::BoxFuture;
use secrets::Secrets;

/// Maximum length of a provider's message in a failure, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;
/// Maximum size of the body of an error that is read, in bytes: far more than any error has. The rest of it is not read.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// Provider that is called over HTTP.
#[derive(Debug)]
pub struct HttpProvider {
    wire: Box<dyn WireFormat>,
    client: Client,
    base_url: Url,
    /// Scheme, host and port of the base URL for messages. Path, query and user info may hold secrets.
    address: String,
    key_header: HeaderName,
    secrets: RwLock<Arc<Secrets>>,
    capabilities: CapabilityCache,
    usage_check: UsageCheck,
}

/// Call that has a response.
struct HttpCall<'a> {
    request: &'a Request<'a>,
    shape: RequestShape,
    response_headers: HeaderMap,
}

impl HttpProvider {
    /// Creates a provider at a base URL. `headers` are the names and values of configured headers, which
    /// `client` sends by itself.
    #[must_use]
    pub fn new(
        wire: Box<dyn WireFormat>,
        client: Client,
        base_url: &Url,
        keys: &[SecretString],
        headers: Vec<(String, SecretString)>,
    ) -> Self {
        let (name, _) = wire.key_header();
        let provider = Self {
            client,
            base_url: base_url.clone(),
            address: base_url.origin().ascii_serialization(),
            key_header: HeaderName::from_static(name),
            secrets: RwLock::new(Arc::new(Secrets::of_headers(headers))),
            capabilities: CapabilityCache::default(),
            usage_check: UsageCheck::default(),
            wire,
        };
        provider.set_keys(keys);
        provider
    }

    /// Replaces the API keys of all calls that begin from now on.
    pub fn set_keys(&self, keys: &[SecretString]) {
        let (_, prefix) = self.wire.key_header();
        let headers = keys
            .iter()
            .filter_map(|key| HeaderValue::try_from([prefix, key.expose_secret()].concat()).ok())
            .map(|mut key| {
                key.set_sensitive(true);
                key
            });
        let new = self.secrets().with_keys(keys.to_vec(), headers.collect());
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }

    fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call_once(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let shape = self.shape(request);
        let url = request
            .template
            .url(shape.stream, || self.url(request, shape))?;
        let prompt_bytes = request.prompt_bytes();
        memory::for_request(request.memory, |memory| {
            memory.encoding(request.input.len(), prompt_bytes)
        })?;
        // Without a turn: the call's time runs, and its slot is held.
        let is_long = request.text_bytes() >= LONG_TEXT_BYTES;
        let body = run_off_worker(is_long, || self.body(request, shape));
        memory::for_request(request.memory, |memory| {
            memory.sending(body.len(), prompt_bytes)
        })?;
        let mut incoming = self
            .client
            .post(url, self.headers(request), body)
            .await
            .map_err(|error| self.transport_failure(&error))?;
        let call = HttpCall {
            request,
            shape,
            response_headers: std::mem::take(&mut incoming.headers),
        };
        if !incoming.status.is_success() {
            let status = incoming.status.as_u16();
            let body = self.read_error_body(incoming, request.memory).await?;
            let error = self.wire.decode_error(&body);
            return self.error_response(&call, Some(status), &error).await;
        }
        let secrets = self.secrets();
        let mut deltas =
            DeltaEmitter::new(request.on_text, shape.mode).hiding(secrets.hidden().collect());
        match self
            .decode_response(request, shape, incoming, &mut deltas)
            .await?
        {
            Ok(partial) => {
                self.confirm_adaptations(request);
                // Without a turn: the call's slot is held.
                let is_long = partial.text_bytes() >= LONG_TEXT_BYTES;
                run_off_worker(is_long, || {
                    let answer = self.answer(partial, shape.mode, &call.response_headers);
                    let answer = secrets.mask_answer(answer);
                    memory::for_answer(request.memory, |memory| memory.decoded(&answer.text))?;
                    deltas.emit_rest(&answer.text);
                    Ok(answer)
                })
            }
            Err(DecodeError::Malformed(reason)) => Err(Failure::new(
                FailureKind::Broken,
                format!("response of {}: {}", self.address, self.redact(&reason)),
            )),
            Err(DecodeError::ErrorBody(error)) => {
                self.error_response(&call, error.status, &error).await
            }
        }
    }

    /// Returns the answer of a response that is decoded, without a usage that no call can have.
    fn answer(&self, partial: PartialAnswer, mode: Mode, headers: &HeaderMap) -> Answer {
        let mut answer = partial.into_answer(mode, quota_from_headers(headers));
        answer.usage = self.usage_check.check(answer.usage, &self.address);
        answer
    }

    /// Returns the hash of a model of this server, for trials.
    fn target(&self, request: &Request<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        std::ptr::from_ref(self).addr().hash(&mut hasher);
        request.model.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the shape of the next call.
    fn shape(&self, request: &Request<'_>) -> RequestShape {
        request.trial.with(self.target(request), |trial| {
            let modes = self.wire.modes();
            self.capabilities
                .request_shape(request, modes, trial, Instant::now())
        })
    }

    /// Returns the request's body: from the template if possible, since all items of a batch share
    /// it.
    fn body(&self, request: &Request<'_>, shape: RequestShape) -> Vec<u8> {
        let whole = |request: &Request<'_>| {
            let body = self.wire.encode(request, shape);
            match request.extra_body {
                Some(fields) => extra_body::merge(body, fields),
                None => body,
            }
        };
        let encode = |input: &str| whole(&Request { input, ..*request });
        let from_template = if request.feedback.is_none() {
            let key = (shape, request.max_output_tokens);
            request.template.body(key, request.input, encode)
        } else {
            None
        };
        from_template.unwrap_or_else(|| whole(request))
    }

    /// Reads the beginning of the body of an error, up to [`MAX_ERROR_BYTES`].
    async fn read_error_body(
        &self,
        mut incoming: Incoming,
        memory: Option<&CallMemory>,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BYTES
            && let Some(bytes) = self.next_bytes(&mut incoming).await?
        {
            let room = MAX_ERROR_BYTES - body.len();
            body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
            memory::for_answer(memory, |memory| memory.received(body.len()))?;
        }
        Ok(body)
    }

    async fn next_bytes(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        let bytes = incoming.chunk().await;
        bytes.map_err(|error| self.transport_failure(&error))
    }

    /// Reads a response, streamed or whole, to its end. The outer error is a transport failure.
    async fn decode_response(
        &self,
        request: &Request<'_>,
        shape: RequestShape,
        mut incoming: Incoming,
        deltas: &mut DeltaEmitter<'_>,
    ) -> Result<Result<PartialAnswer, DecodeError>, Failure> {
        let mut decoder = StreamDecoder::new(&*self.wire, shape.mode, shape.stream);
        let mut received = 0;
        loop {
            let bytes = self.next_bytes(&mut incoming).await?;
            received += bytes.as_ref().map_or(0, Bytes::len);
            memory::for_answer(request.memory, |memory| memory.received(received))?;
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
        let bytes = decoder.undecoded_bytes();
        let piece = request.memory.and_then(|memory| memory.long_piece(bytes));
        Ok(run_long(piece, || decoder.finish()).await)
    }

    fn url(&self, request: &Request<'_>, shape: RequestShape) -> Result<Url, Failure> {
        let path = self.wire.path(request.model, shape.stream).ok_or_else(|| {
            let detail = format!(
                "{} takes the model's name in the URL path, and this name cannot be a path segment; check `model`",
                self.address
            );
            Failure::new(FailureKind::Unusable, detail)
        })?;
        Ok(self.url_of(&path))
    }

    /// Returns the URL of a path below the base URL, which may end with a query.
    fn url_of(&self, path: &str) -> Url {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base_url.clone();
        url.set_path(&[self.base_url.path().trim_end_matches('/'), "/", path].concat());
        url.set_query(query);
        url
    }

    fn headers(&self, request: &Request<'_>) -> HeaderMap {
        let secrets = self.secrets();
        let key = secrets.key_header(request.key);
        call_headers(
            key.map(|key| (self.key_header.clone(), key.clone())),
            request.trace_context,
        )
    }

    fn transport_failure(&self, error: &net::Error) -> Failure {
        let kind = match error {
            net::Error::Connect(_) => FailureKind::Connect,
            net::Error::Resources(_) => FailureKind::OwnResources,
            net::Error::Broken(_) | net::Error::TooLarge(_) => FailureKind::Broken,
        };
        Failure::new(kind, format!("calling {}: {error}", self.address))
    }

    /// Replaces secrets in a provider's message, and truncates it.
    fn redact(&self, message: &str) -> String {
        let mut redacted = self.secrets().mask(message);
        redacted.truncate(redacted.floor_char_boundary(MAX_MESSAGE_BYTES));
        redacted
    }
}

/// Returns the headers of a call with this key.
fn call_headers(
    key: Option<(HeaderName, HeaderValue)>,
    trace_context: Option<&TraceContext>,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, key)) = key {
        headers.insert(name, key);
    }
    if let Some(context) = trace_context {
        let state = context.state.as_deref();
        let values = [
            ("traceparent", Some(&*context.parent)),
            ("tracestate", state),
        ];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
    }
    headers
}

impl Provider for HttpProvider {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.call_once(request))
    }

    fn chat<'a>(&'a self, chat: &'a ChatRequest<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.pass_through(chat))
    }

    fn has_chat(&self) -> bool {
        true
    }

    fn is_chat_completions(&self) -> bool {
        const MODEL: &str = "m";
        self.wire.path(MODEL, false) == self.wire.chat_path(MODEL)
    }

    fn preview(&self, request: &Request<'_>) -> Result<RequestPreview, Failure> {
        let shape = self.shape(request);
        let mut url = self.url(request, shape)?;
        // Neither can fail for a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let body = self.body(request, shape);
        let mut body = serde_json::from_slice(&body).unwrap_or_default();
        let secrets = self.secrets();
        secrets.mask_value(&mut body);
        Ok(RequestPreview {
            mode: shape.mode,
            target: format!("POST {}", secrets.mask(url.as_str())),
            body,
        })
    }

    fn genai_names(&self) -> GenAiNames {
        let host = self.base_url.host_str().unwrap_or_default();
        self.wire.genai_names().at_host(host)
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

    fn check_extra_body(&self, fields: &Map<String, Value>) -> Result<(), FieldError> {
        extra_body::check(self.wire.reserved_fields(), fields)
    }

    fn address(&self) -> Option<String> {
        Some(self.address.clone())
    }
}
