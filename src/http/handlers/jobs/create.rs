//! Creation of a job from a request: a JSON or NDJSON body becomes one record and a stream of inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, HeaderName, Uri};
use futures_util::{Stream, StreamExt, stream};
use serde_json::value::RawValue;

use super::super::super::body_inputs::body_inputs;
use super::super::super::content_negotiation::{self, RequestFormat};
use super::super::super::ids::new_id;
use super::super::super::ndjson_reader::NdjsonReader;
use super::super::super::open_connections::OpenRequest;
use super::super::super::query::no_query;
use super::super::super::request_memory::no_memory;
use super::super::super::state::AppState;
use super::super::super::trace_context::trace_context;
use super::super::super::upload_monitor::{MEMORY_TIMEOUT, UploadMonitor};
use super::super::super::{json_body, query, request_body};
use crate::extraction::{RequestClass, WaitingMemory};
use crate::jobs::{Created, Creation, Held};
use crate::types::{Code, Error, FieldError, Input, JobRequest};
use throttle::{CallerId, MemoryReservation, MemoryUse};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum length of an idempotency key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// Request fields that are stored apart from the spec.
const STORED_APART: [&str; 3] = ["inputs", "metadata", "webhook"];

/// Maximum size of the fields that are stored in the spec, in bytes as they were sent: 8 MiB. The longest schema, instructions, examples,
/// rules and `extra_body` take about 5 MiB if all that is not ASCII is escaped. The limits of their contents do not count white space.
const MAX_STORED_BYTES: usize = 8 << 20;

/// Copies of these fields from their parse until the spec is written, beside the body, whose memory is kept.
const COPIES: usize = 2;

/// Fields of a request that are stored with the job, as they were sent.
struct SentFields {
    members: BTreeMap<String, Box<RawValue>>,
    /// All of them as JSON.
    json: String,
}

impl SentFields {
    /// Parses the JSON object of a request's fields, which is valid.
    ///
    /// # Errors
    /// `payload_too_large` for more than a spec may have.
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut all: BTreeMap<String, &RawValue> =
            serde_json::from_slice(bytes).map_err(|error| unserializable(&error))?;
        all.retain(|name, _| !STORED_APART.contains(&name.as_str()));
        let bytes = text_bytes(all.values().copied());
        if bytes > MAX_STORED_BYTES {
            return Err(too_large(bytes));
        }
        let json = serde_json::to_string(&all).map_err(|error| unserializable(&error))?;
        let owned = |(name, value): (String, &RawValue)| (name, value.to_owned());
        let members = all.into_iter().map(owned).collect();
        Ok(Self { members, json })
    }

    /// Resizes a reservation to the memory of the copies of the fields.
    ///
    /// # Errors
    /// `payload_too_large` if that memory can never be reserved, `overloaded` if it cannot be reserved now.
    fn reserve_copies(&self, memory: &mut MemoryReservation) -> Result<(), Error> {
        let members = self.members.values().map(|value| &**value);
        let bytes = text_bytes(members).max(self.json.len());
        let reserved = memory.resize(bytes * COPIES);
        reserved.map_err(|refused| no_memory(&refused))
    }
}

fn text_bytes<'a>(values: impl Iterator<Item = &'a RawValue>) -> usize {
    values.map(|value| value.get().len()).sum()
}

/// Returns the error of fields that are too large to be stored.
fn too_large(bytes: usize) -> Error {
    let detail = format!(
        "the fields of the job beside `inputs`, `metadata` and `webhook` take {bytes} bytes as they were sent, more than {MAX_STORED_BYTES}; send them without needless white space, and shorten `schema`, `examples` and `instructions`"
    );
    Error::new(Code::PayloadTooLarge, detail)
}

/// Parses the fields of a request, which are JSON.
fn parse_fields(json: &[u8]) -> Result<(JobRequest, SentFields), Error> {
    let request: JobRequest = json_body::parse(json)?;
    Ok((request, SentFields::parse(json)?))
}

/// Returns the memory of the values that a request keeps, in bytes.
fn kept_bytes((request, _): &(JobRequest, SentFields)) -> usize {
    request.batch.kept_bytes()
}

/// Creates a job from a request, and returns it with the warnings about its schema.
///
/// # Errors
/// For an invalid body or header, while the server drains, or when the job cannot be stored.
pub async fn create(
    state: &AppState,
    caller: CallerId,
    request_id: &str,
    request: Request,
) -> Result<(Created, Vec<FieldError>), Error> {
    let (head, body) = request.into_parts();
    let creation = JobCreation {
        state,
        caller,
        request_id,
        headers: &head.headers,
        open: head.extensions.get().cloned(),
    };
    match content_negotiation::request_format(&head.headers)? {
        RequestFormat::Json => creation.json(body, &head.uri).await,
        RequestFormat::Ndjson => {
            creation
                .ndjson(body, head.uri.query().unwrap_or_default())
                .await
        }
    }
}

struct JobCreation<'a> {
    state: &'a AppState,
    caller: CallerId,
    request_id: &'a str,
    headers: &'a HeaderMap,
    open: Option<OpenRequest>,
}

impl JobCreation<'_> {
    async fn json(self, body: Body, uri: &Uri) -> Result<(Created, Vec<FieldError>), Error> {
        let mut complete =
            request_body::read_body(self.state, self.caller, self.headers, body).await?;
        let (mut request, fields) = complete.parse_with(parse_fields, 0, kept_bytes).await?;
        let inputs = request.batch.inputs.take().map(body_inputs);
        no_query(uri)?;
        let missing = || Error::invalid("/inputs", "this field is required: an array of texts");
        let inputs = inputs.ok_or_else(missing)?.map(Ok);
        let held = Arc::new((complete.into_memory(), self.open.clone()));
        let (creation, warnings) = self.creation(request, fields, held).await?;
        let created = self.state.jobs.create(creation, stream::iter(inputs));
        Ok((created.await?, warnings))
    }

    async fn ndjson(self, body: Body, query: &str) -> Result<(Created, Vec<FieldError>), Error> {
        let ledger = self.state.extractor.limits().memory();
        let fields = query::members(query)?;
        let parsed =
            request_body::parse_query_fields(ledger, self.caller, fields, parse_fields, kept_bytes);
        let ((request, fields), values) = parsed.await?;
        let held = Arc::new((values, self.open.clone()));
        let (creation, warnings) = self.creation(request, fields, held).await?;
        let memory =
            WaitingMemory::new(ledger.empty(self.caller, MemoryUse::Inputs), MEMORY_TIMEOUT);
        let upload = Arc::new(UploadMonitor::new(self.state.idle_timeout));
        let mut lines = NdjsonReader::new(
            body.into_data_stream(),
            self.state.max_line_bytes,
            Arc::clone(&upload),
            memory,
        );
        if self.headers.contains_key(EXPECT) {
            lines.read_first_chunk().await;
        }
        let created = self.state.jobs.create(creation, input_lines(lines, upload));
        Ok((created.await?, warnings))
    }

    /// Validates everything but the inputs, and returns the warnings about the schema as well. `held` is what the request holds.
    async fn creation(
        &self,
        request: JobRequest,
        mut fields: SentFields,
        held: Held,
    ) -> Result<(Creation, Vec<FieldError>), Error> {
        let ledger = self.state.extractor.limits().memory();
        let mut copies = ledger.empty(self.caller, MemoryUse::Inputs);
        fields.reserve_copies(&mut copies)?;
        let JobRequest { mut batch, webhook } = request;
        let metadata = batch.spec.metadata.take();
        let idempotency_key = idempotency_key(self.headers)?;
        let trace_context = trace_context(self.headers);
        let prepared = self
            .state
            .extractor
            .prepare(
                self.caller,
                batch.spec,
                RequestClass::Job,
                trace_context.clone(),
            )
            .await?;
        if let Some(webhook) = &webhook {
            let checked = self.state.webhooks.check_name(self.caller, webhook.url());
            checked.await.map_err(|error| {
                Error::invalid(
                    "/webhook/url",
                    format!("{error}; use a public address, or set `jobs.allow_private_webhooks`"),
                )
            })?;
        }
        self.state.reject_if_draining()?;
        // A job keeps its schema even if the registered one changes.
        let schema = RawValue::from_string(prepared.schema_text().to_owned())
            .map_err(|error| unserializable(&error))?;
        fields.members.insert("schema".to_owned(), schema);
        fields.reserve_copies(&mut copies)?;
        let SentFields {
            members,
            json: sent_fields,
        } = fields;
        let creation = Creation {
            id: new_id("job"),
            caller: self.caller,
            batch: serde_json::value::to_raw_value(&members)
                .map_err(|error| unserializable(&error))?,
            sent_fields,
            metadata,
            request_id: self.request_id.to_owned(),
            trace_context,
            webhook,
            idempotency_key,
            held: Arc::new((held, copies)),
        };
        Ok((creation, prepared.warnings().to_vec()))
    }
}

/// Logs a failure to serialize the fields of a parsed request, and returns `internal`.
fn unserializable(error: &serde_json::Error) -> Error {
    tracing::error!(%error, "the fields of a job could not be serialized; this is a bug");
    Error::new(
        Code::Internal,
        "the fields of the job could not be serialized because of a bug; search the server's log for the request ID",
    )
}

/// Returns the inputs of the lines, and an error when the upload is interrupted.
fn input_lines(
    lines: NdjsonReader,
    upload: Arc<UploadMonitor>,
) -> impl Stream<Item = Result<Input, Error>> + Unpin {
    let interruption = stream::once(async move {
        let interruption = upload.interruption()?;
        Some(Err(
            interruption.error("no job was created; send the request again")
        ))
    });
    Box::pin(
        lines
            .map(Ok)
            .chain(interruption.filter_map(std::future::ready)),
    )
}

/// Returns the `Idempotency-Key` header, or `None` if it is absent.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = std::str::from_utf8(header.as_bytes())
        .ok()
        .map(str::trim)
        .filter(|key| !key.is_empty() && key.chars().nth(MAX_KEY_CHARS).is_none());
    let key = key.ok_or_else(|| {
        let detail = format!(
            "the `Idempotency-Key` header must be 1 to {MAX_KEY_CHARS} characters in UTF-8, such as a UUID"
        );
        Error::new(Code::InvalidRequest, detail)
    })?;
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use throttle::MemoryLedger;

    use super::*;

    /// The limits of their contents look at what was parsed.
    #[test]
    fn fields_with_much_white_space_are_not_stored() {
        let parse = |white_space: usize| {
            let white_space = " ".repeat(white_space);
            let inputs = "x".repeat(2 * MAX_STORED_BYTES);
            let json =
                format!(r#"{{"inputs": ["{inputs}"], "schema": {{}}, "rules": [{white_space}]}}"#);
            parse_fields(json.as_bytes()).map(|(_, fields)| fields.json.len())
        };
        assert!(parse(MAX_STORED_BYTES / 2).is_ok_and(|stored| stored < MAX_STORED_BYTES));
        let refused = parse(MAX_STORED_BYTES).unwrap_err();
        assert_eq!(refused.code, Code::PayloadTooLarge);
        assert!(refused.detail.contains("white space"), "{}", refused.detail);
    }

    #[test]
    fn the_copies_of_the_stored_fields_are_held() {
        let sent = br#"{"inputs": ["a text"], "schema": "registered"}"#;
        let mut fields = SentFields::parse(sent).unwrap();
        let ledger = MemoryLedger::new(1_000, 1_000);
        let mut held = ledger.empty(CallerId(1), MemoryUse::Inputs);
        fields.reserve_copies(&mut held).unwrap();
        let bytes = COPIES * r#"{"schema":"registered"}"#.len();
        assert_eq!((held.bytes(), ledger.snapshot().held), (bytes, bytes));

        // The text of a registered schema is stored as well.
        let mut with_schema = |length: usize| {
            let schema = format!(r#""{}""#, "x".repeat(length - 2));
            let schema = RawValue::from_string(schema).unwrap();
            fields.members.insert("schema".to_owned(), schema);
            fields.reserve_copies(&mut held).map(|()| held.bytes())
        };
        assert_eq!(with_schema(300), Ok(COPIES * 300));
        assert_eq!(with_schema(501).unwrap_err().code, Code::PayloadTooLarge);
        let _other = ledger.reserve(CallerId(1), MemoryUse::Inputs, 300).unwrap();
        assert_eq!(with_schema(400).unwrap_err().code, Code::Overloaded);
    }
}
