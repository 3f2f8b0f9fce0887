//! The transport of every provider that is reached over HTTP.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::capability_cache::CapabilityCache;
use super::rate_limit_headers::remaining_quota;
use super::stream_decoder::{DeltaEmitter, StreamDecoder};
use super::unsupported_feature::unsupported_in;
use super::{
    Answer, BoxFuture, DecodeError, ErrorClass, Failure, FailureKind, PartialAnswer, Provider,
    Request, RequestShape, UpstreamErrorBody, WireFormat,
};
use crate::net::{self, Client, Incoming, Url};
use crate::types::{Dialect, Mode};

/// A provider behind HTTP.
#[derive(Debug)]
pub struct HttpProvider {
    wire: Box<dyn WireFormat>,
    client: Client,
    base_url: Url,
    key_header: HeaderName,
    /// The keys, as they are sent; empty: calls go out without one.
    keys: Vec<HeaderValue>,
    /// What is taken out of everything that the provider says: the keys, and the values of configured headers.
    secrets: Vec<SecretString>,
    learned: CapabilityCache,
}

/// Longest part of a provider's message that is passed on, in bytes.
const MAX_SAID_BYTES: usize = 500;

impl HttpProvider {
    #[must_use]
    pub fn new(
        wire: Box<dyn WireFormat>,
        client: Client,
        base_url: &Url,
        keys: &[SecretString],
        headers: Vec<SecretString>,
    ) -> Self {
        let (name, before) = wire.key_header();
        let sent = keys
            .iter()
            .filter_map(|key| HeaderValue::try_from([before, key.expose_secret()].concat()).ok());
        let sent = sent.map(|mut key| {
            key.set_sensitive(true);
            key
        });
        Self {
            client,
            base_url: base_url.clone(),
            key_header: HeaderName::from_static(name),
            keys: sent.collect(),
            secrets: keys.iter().cloned().chain(headers).collect(),
            learned: CapabilityCache::default(),
            wire,
        }
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let form = self.learned.form(request, self.wire.modes());
        let url = self.url(request, form)?;
        let template = if request.complaint.is_none() {
            request.template.filled(&*self.wire, request, form)
        } else {
            None
        };
        let body = template.unwrap_or_else(|| self.wire.encode(request, form));
        let mut incoming = self
            .client
            .post(&url, self.headers(request), body)
            .await
            .map_err(lost)?;
        let call = HttpCall {
            request,
            form,
            headers: std::mem::take(&mut incoming.headers),
        };
        let mut listener = DeltaEmitter::new(request.on_text, form.mode);
        let found = if incoming.status != StatusCode::OK {
            let response = incoming.whole().await.map_err(lost)?;
            let said = self.wire.decode_error(&response.body);
            return self.refused(&call, response.status.as_u16(), &said);
        } else if form.stream && !is_json(&call.headers) {
            self.listen(form, incoming, &mut listener).await?
        } else {
            self.wire
                .decode(&incoming.whole().await.map_err(lost)?.body)
        };
        match found {
            Ok(draft) => {
                let answer = draft.answer(form.mode, remaining_quota(&call.headers));
                listener.tell(&answer.text);
                Ok(answer)
            }
            Err(DecodeError::Format(wrong)) => Err(Failure::new(
                FailureKind::Broken,
                self.without_secrets(&wrong),
            )),
            Err(DecodeError::Error(said)) => match said.status {
                Some(status) => self.refused(&call, status, &said),
                None => self
                    .refused(&call, StatusCode::OK.as_u16(), &said)
                    .map_err(Failure::broken),
            },
        }
    }

    /// Hears a stream to its end.
    async fn listen(
        &self,
        form: RequestShape,
        mut incoming: Incoming,
        listener: &mut DeltaEmitter<'_>,
    ) -> Result<Result<PartialAnswer, DecodeError>, Failure> {
        let mut hearing = StreamDecoder::new(&*self.wire, form.mode);
        loop {
            let bytes = incoming.chunk().await.map_err(lost)?;
            match hearing.take(bytes.as_deref(), listener) {
                Err(wrong) => return Ok(Err(wrong)),
                Ok(_) if bytes.is_none() => break,
                Ok(true) => {
                    incoming.finish().await;
                    break;
                }
                Ok(false) => {}
            }
        }
        Ok(hearing.finish())
    }

    fn refused(
        &self,
        call: &HttpCall<'_>,
        status: u16,
        said: &UpstreamErrorBody,
    ) -> Result<Answer, Failure> {
        let (request, form) = (call.request, call.form);
        let words = self.without_secrets(&said.message);
        if said.meaning == ErrorClass::Declined {
            let refused = PartialAnswer {
                refusal: words,
                ..PartialAnswer::default()
            };
            return Ok(refused.answer(form.mode, remaining_quota(&call.headers)));
        }
        let lesson = if matches!(status, 400 | 422 | 500 | 501) {
            unsupported_in(status, said, form, self.wire.vocabulary())
        } else {
            None
        };
        let kind = match (lesson, said.meaning) {
            (Some(lesson), _) if self.learned.learn(request, form, lesson) => {
                tracing::info!(
                    model = request.model,
                    mode = form.mode.as_str(),
                    ?lesson,
                    "the provider does not take this form; adapting"
                );
                FailureKind::Adapted
            }
            // Payment required: whatever words the provider has for it.
            _ if status == 402 => FailureKind::Exhausted,
            (_, ErrorClass::Exhausted) if (400..500).contains(&status) => FailureKind::Exhausted,
            (_, ErrorClass::TooLarge) if status == 429 => FailureKind::TooLong,
            (_, ErrorClass::BadKey) => FailureKind::Status(401),
            _ => FailureKind::Status(status),
        };
        let should_retry = match call
            .headers
            .get("x-should-retry")
            .map(HeaderValue::as_bytes)
        {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            _ => None,
        };
        let retry_after =
            net::retry_after(&call.headers, crate::types::clock::now()).or(said.retry_after);
        Err(Failure {
            kind,
            detail: format!("{status}: {words}"),
            retry_after,
            should_retry,
            left: remaining_quota(&call.headers),
        })
    }

    fn url(&self, request: &Request<'_>, form: RequestShape) -> Result<Url, Failure> {
        let path = self.wire.path(request.model, form.stream).ok_or_else(|| {
            let detail = "the provider has its models in the path, and this name cannot stand there; check `model`";
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
        if let Some(trace) = request
            .traceparent
            .and_then(|trace| HeaderValue::from_str(trace).ok())
        {
            headers.insert("traceparent", trace);
        }
        headers
    }

    fn without_secrets(&self, message: &str) -> String {
        let secrets = self
            .secrets
            .iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| !secret.is_empty());
        let mut clean = secrets.fold(message.to_owned(), |message, secret| {
            message.replace(secret, "****")
        });
        clean.truncate(clean.floor_char_boundary(MAX_SAID_BYTES));
        clean
    }
}

/// A call that has been answered.
struct HttpCall<'a> {
    request: &'a Request<'a>,
    form: RequestShape,
    /// Of the answer.
    headers: HeaderMap,
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn lost(error: net::Error) -> Failure {
    let kind = match error {
        net::Error::Connect(_) => FailureKind::Connect,
        net::Error::Broken(_) | net::Error::TooLarge(_) => FailureKind::Broken,
    };
    Failure::new(kind, error.to_string())
}

/// Whether the server answers with the whole at once, though it was asked for a stream.
fn is_json(headers: &HeaderMap) -> bool {
    let name = headers
        .get(CONTENT_TYPE)
        .and_then(|name| name.to_str().ok())
        .unwrap_or_default();
    name.split(';')
        .next()
        .is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

impl Provider for HttpProvider {
    fn call<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(self.ask(request))
    }

    fn modes(&self) -> &'static [Mode] {
        self.wire.modes()
    }

    fn subset(&self, mode: Mode) -> &'static Dialect {
        self.wire.subset(mode)
    }
}
