//! What a job is made of: a body of either form becomes the same record and the same stream of inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use futures_util::{Stream, StreamExt, stream};
use serde_json::value::RawValue;

use super::super::content_negotiation::{self, RequestFormat};
use super::super::guard::{no_query, traceparent};
use super::super::ndjson_reader::NdjsonReader;
use super::super::stall_watchdog::StallWatchdog;
use super::super::{Shared, json_body, query, request_body};
use crate::extraction::RequestClass;
use crate::jobs::{Created, Creation};
use crate::limits::CallerId;
use crate::types::{Code, Error, Input, JobRequest};

/// The fields that are not kept with the spec: each has a place of its own.
const APART: [&str; 3] = ["inputs", "metadata", "webhook"];

/// The most that a job's metadata may take, in bytes.
const MAX_METADATA_BYTES: usize = 64 * 1024;

type Members<'a> = BTreeMap<&'a str, &'a RawValue>;

/// Makes a job of a request.
///
/// # Errors
/// Whatever is wrong with it.
pub async fn create(
    shared: &Shared,
    caller: CallerId,
    request_id: &str,
    request: Request,
) -> Result<Created, Error> {
    let (head, body) = request.into_parts();
    let of = Of {
        shared,
        caller,
        request_id,
        headers: &head.headers,
    };
    match content_negotiation::request_format(&head.headers)? {
        RequestFormat::Json => of.json(body, &head.uri).await,
        RequestFormat::Ndjson => of.ndjson(body, head.uri.query().unwrap_or_default()).await,
    }
}

struct Of<'a> {
    shared: &'a Shared,
    caller: CallerId,
    request_id: &'a str,
    headers: &'a HeaderMap,
}

impl Of<'_> {
    async fn json(self, body: Body, uri: &axum::http::Uri) -> Result<Created, Error> {
        let whole =
            request_body::read(self.shared, self.headers, body, self.shared.max_body_bytes).await?;
        let mut request: JobRequest = json_body::parse(&whole.bytes)?;
        no_query(uri)?;
        let missing = || Error::invalid("/inputs", "this field is required: an array of texts");
        let inputs = request.batch.inputs.take().ok_or_else(missing)?;
        let text = std::str::from_utf8(&whole.bytes).unwrap_or_default();
        let creation = self.creation(request, text).await?;
        let room = whole.room;
        drop(whole.bytes);
        let inputs = inputs
            .into_iter()
            .enumerate()
            .map(|(index, item)| Input::new(index, item).to_json());
        let created = self
            .shared
            .jobs
            .create(creation, stream::iter(inputs))
            .await;
        drop(room);
        created
    }

    async fn ndjson(self, body: Body, query: &str) -> Result<Created, Error> {
        let text = query::members(query)?;
        let request: JobRequest = json_body::from_text(&text)?;
        let creation = self.creation(request, &text).await?;
        let upload = Arc::new(StallWatchdog::default());
        let mut lines = NdjsonReader::new(
            body.into_data_stream(),
            self.shared.max_line_bytes,
            Arc::clone(&upload),
        );
        if self.headers.contains_key(EXPECT) {
            lines.begin().await;
        }
        self.shared
            .jobs
            .create(creation, written(lines, upload))
            .await
    }

    /// Checks everything but the inputs. `text` is an object of the request's fields.
    async fn creation(&self, request: JobRequest, text: &str) -> Result<Creation, Error> {
        let JobRequest { mut batch, webhook } = request;
        let metadata = batch.spec.metadata.take();
        if serde_json::to_vec(&metadata).is_ok_and(|json| json.len() > MAX_METADATA_BYTES) {
            let message = format!(
                "takes more than {MAX_METADATA_BYTES} bytes, which are read each time that the job is shown"
            );
            return Err(Error::invalid("/metadata", message));
        }
        let idempotency_key = super::idempotency_key(self.headers)?;
        let traceparent = traceparent(self.headers);
        let plan = self
            .shared
            .extractor
            .prepare(batch.spec, RequestClass::Job, traceparent.clone())
            .await?;
        if let Some(webhook) = &webhook {
            let refused = |error: crate::net::NotPublic| {
                Error::invalid(
                    "/webhook/url",
                    format!("{error}; `jobs.allow_private_webhooks` would allow it"),
                )
            };
            self.shared.webhooks.check(webhook.url()).map_err(refused)?;
        }
        super::not_draining(self.shared)?;
        let mut members: Members<'_> =
            serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        members.retain(|name, _| !APART.contains(name));
        let sent = serde_json::to_string(&members).map_err(|error| unreadable(&error))?;
        // A job keeps the schema that it was made with.
        let schema = RawValue::from_string(plan.schema_text().to_owned())
            .map_err(|error| unreadable(&error))?;
        members.insert("schema", &schema);
        Ok(Creation {
            id: super::new_id(),
            caller: self.caller,
            batch: serde_json::value::to_raw_value(&members).map_err(|error| unreadable(&error))?,
            sent,
            metadata,
            request_id: self.request_id.to_owned(),
            traceparent,
            webhook,
            idempotency_key,
        })
    }
}

/// What was read a moment ago cannot be read again.
fn unreadable(error: &serde_json::Error) -> Error {
    tracing::error!(%error, "the fields of a job cannot be written down; this is a bug");
    Error::new(
        Code::Internal,
        "the fields of the job cannot be written down",
    )
}

/// The lines as they are kept. The first that is no input ends them, and so does a body that breaks off.
fn written(
    lines: NdjsonReader,
    upload: Arc<StallWatchdog>,
) -> impl Stream<Item = Result<Vec<u8>, Error>> + Unpin {
    let broken = stream::once(async move {
        let detail = "the body broke off before its end; nothing was kept, send it again";
        upload
            .is_broken()
            .then(|| Err(Error::new(Code::InvalidJson, detail)))
    });
    Box::pin(
        lines
            .map(|input| input.to_json())
            .chain(broken.filter_map(std::future::ready)),
    )
}
