//! Preparation of a spec: looks up its schema and its model, and checks its examples and rules.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::examples::{MAX_PROMPT_BYTES, check_examples, too_long};
use super::extractor::Extractor;
use super::grounding::GroundingSettings;
use super::prepared_request::PreparedRequest;
use super::request_class::RequestClass;
use super::request_identity::identify;
use super::straggler_detector::StragglerDetector;
use super::targets::{Target, prepare_targets};
use crate::long_work::{Piece, SlowDrop, spawn_if_long};
use crate::schema::{Rules, Schema};
use crate::types::{Code, Error, Example, ExtraBody, SchemaSource, Spec, TraceContext};
use throttle::{CallerId, MemoryReservation, MemoryUse, WaitBudget};

/// Maximum wait of a single for an open circuit breaker: long enough for one probe.
const MAX_OUTAGE: Duration = Duration::from_secs(8);
/// Maximum wait of a batch's item for an open circuit breaker.
const MAX_BATCH_OUTAGE: Duration = Duration::from_secs(30);

impl Extractor {
    /// Prepares a caller's spec for use with every item of a request.
    ///
    /// # Errors
    /// `invalid_schema` or `invalid_request`, with pointers into the spec.
    pub async fn prepare(
        &self,
        caller: CallerId,
        mut spec: Spec,
        class: RequestClass,
        trace_context: Option<TraceContext>,
    ) -> Result<PreparedRequest, Error> {
        // They have up to the size of a body while it is not known whether they are too large.
        let examples = std::mem::take(&mut spec.examples);
        let examples = SlowDrop::new(examples, |examples| !examples.is_empty());
        let schema = self.schema(caller, spec.schema.as_ref()).await?;
        let access = self.permissions.access_of(caller);
        let route = self
            .models
            .find(spec.model.as_deref(), &access, &self.limits)?;
        let fallback_on = spec.fallback_on.unwrap_or(route.fallback_on);
        if spec.instructions.as_ref().map_or(0, String::len) > MAX_PROMPT_BYTES {
            return Err(too_long("/instructions"));
        }
        let examples = check_examples(caller, examples, &schema).await?;
        let rules = Rules::compile_async(caller, std::mem::take(&mut spec.rules)).await?;
        let (mut first, fallback) = prepare_targets(
            self.schema_memory(caller),
            route,
            spec.mode,
            &schema,
            &examples,
        )
        .await?;
        let (mode, unit) = (spec.grounding, spec.offset_unit);
        let grounding = move |examples: &[Example]| GroundingSettings::new(mode, unit, examples);
        let grounding = if mode.is_on() {
            examples.work_on(caller, grounding).await?
        } else {
            grounding(&[])
        };
        // The outputs of examples are written twice, value by value.
        let prompt_bytes = examples.bytes * 4
            + spec.instructions.as_ref().map_or(0, String::len)
            + schema.raw().get().len();
        let examples = examples.list;
        check_extra_body(&first, &spec.extra_body)?;
        first.extra_body = first.extra_body.merged(&spec.extra_body);
        first.has_callers_fields = spec.extra_body.fields().is_some();
        let request = PreparedRequest {
            class,
            first,
            fallback,
            fallback_on,
            schema,
            rules,
            on_failure: spec.on_failure,
            max_attempts: spec.max_attempts(),
            timeout: spec.timeout(),
            temperature: spec.temperature(),
            max_output_tokens: spec.max_output_tokens(),
            seed: spec.seed,
            cache: spec.cache,
            coerce: spec.coerce(),
            trace: spec.trace(),
            grounding: Arc::new(grounding),
            instructions: spec.instructions,
            is_conversation: spec.is_conversation,
            chat: None,
            examples,
            wait_budget: self.wait_budget(class),
            max_calls: match class {
                RequestClass::Single | RequestClass::Batch => self.config.max_tries,
                RequestClass::Job => self.config.max_job_tries,
            },
            trace_context,
            job: None,
            text_copies: 1,
            stragglers: StragglerDetector::default(),
            partials: OnceLock::new(),
            frame_tokens: OnceLock::new(),
            identity: None,
        };
        let sharing_caller = self.sharing_caller(caller);
        let measured = spawn_if_long(Piece::if_long(caller, prompt_bytes), move || {
            measured(request, sharing_caller)
        });
        measured.await.map_err(|_| {
            let detail = "a bug in the server: the request could not be prepared";
            Error::new(Code::Internal, detail)
        })
    }

    /// Returns the caller that a result may be shared with: the same one, or every caller (`cache.shared`).
    const fn sharing_caller(&self, caller: CallerId) -> Option<CallerId> {
        if self.config.has_shared_results {
            None
        } else {
            Some(caller)
        }
    }

    /// Compiles a schema on behalf of a caller, whose share of the memory it takes.
    ///
    /// # Errors
    /// As [`Schema::compile`]; `overloaded` if there is no memory for it.
    pub async fn compile_schema(&self, caller: CallerId, text: &str) -> Result<Arc<Schema>, Error> {
        self.schemas.get(text, self.schema_memory(caller)).await
    }

    /// Returns an empty reservation for what is compiled on behalf of a caller.
    pub(super) fn schema_memory(&self, caller: CallerId) -> MemoryReservation {
        self.limits.memory().empty(caller, MemoryUse::Schemas)
    }

    /// Returns the owner of the schemas that a caller stores. Empty if all callers share them.
    #[must_use]
    pub fn schema_owner(&self, caller: CallerId) -> String {
        if self.config.has_shared_schemas {
            String::new()
        } else {
            self.limits.owner(caller)
        }
    }

    async fn schema(
        &self,
        caller: CallerId,
        source: Option<&SchemaSource>,
    ) -> Result<Arc<Schema>, Error> {
        match source {
            Some(SchemaSource::Inline(raw)) => self
                .compile_schema(caller, raw.get())
                .await
                .map_err(|error| error.with_pointer_prefix("/schema")),
            Some(SchemaSource::Named(name)) => self.registered_schema(caller, name).await,
            None => {
                let message =
                    "this field is required: a JSON Schema, or the name of a registered one";
                Err(Error::invalid("/schema", message))
            }
        }
    }

    /// Returns the registered schema of this name, which is read from the disk unless it is cached.
    async fn registered_schema(&self, caller: CallerId, name: &str) -> Result<Arc<Schema>, Error> {
        let owner = self.schema_owner(caller);
        let missing = || Error::invalid("/schema", self.registry.missing(&owner, name));
        let entry = self.registry.entry(caller, &owner, name).await?;
        let entry = entry.ok_or_else(missing)?;
        if let Some(schema) = self.schemas.find_registered(&entry.hash) {
            return Ok(schema);
        }
        let mut memory = self.schema_memory(caller);
        Schema::reserve_text(&mut memory, entry.bytes)?;
        let text = self.registry.text(caller, &owner, name).await?;
        let text = text.ok_or_else(missing)?;
        self.schemas.get_registered(entry.hash, &text, memory).await
    }

    const fn wait_budget(&self, class: RequestClass) -> WaitBudget {
        match class {
            RequestClass::Single => WaitBudget::new(self.config.max_wait, MAX_OUTAGE),
            RequestClass::Batch => WaitBudget::new(self.config.max_batch_wait, MAX_BATCH_OUTAGE),
            RequestClass::Job => WaitBudget::new(Duration::MAX, Duration::MAX).through_outages(),
        }
    }
}

/// Returns a request with what depends on its whole prompt: its identity, and the estimate of its tokens. `caller` is the only one that
/// its results may be shared with; `None`: every caller.
fn measured(mut request: PreparedRequest, caller: Option<CallerId>) -> PreparedRequest {
    request.identity = identify(&request, caller);
    request.estimate_frame_once();
    request
}

/// Rejects extra fields that the provider's request cannot have.
fn check_extra_body(first: &Target, extra_body: &ExtraBody) -> Result<(), Error> {
    let Some(fields) = extra_body.fields() else {
        return Ok(());
    };
    first
        .endpoint
        .provider
        .check_extra_body(fields)
        .map_err(|error| Error::invalid(format!("/extra_body{}", error.pointer), error.message))
}
