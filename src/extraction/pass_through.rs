//! Chat completions that are passed through: under the same limits, retries and fallbacks as an extraction, but without a prompt,
//! validation and cache of their own.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::chat::Chat;
use super::item::ItemRun;
use super::{Extractor, PreparedRequest, RequestClass};
use throttle::CallerId;

use crate::types::{CacheUse, Error, Mode, SchemaSource, Spec, Success, TraceContext};

impl Extractor {
    /// Prepares a chat completion. Of `spec`, the model, the limits and the extra fields count.
    ///
    /// # Errors
    /// `invalid_request`, with pointers into the spec.
    pub async fn prepare_chat(
        &self,
        caller: CallerId,
        mut spec: Spec,
        chat: Chat,
        trace_context: Option<TraceContext>,
    ) -> Result<PreparedRequest, Error> {
        spec.schema = RawValue::from_string("{}".to_owned())
            .ok()
            .map(SchemaSource::Inline);
        spec.cache = CacheUse::Off;
        spec.mode = Mode::Text;
        let mut request = self
            .prepare(caller, spec, RequestClass::Single, trace_context)
            .await?;
        if !request.first.endpoint.provider.has_chat() {
            let message = "the built-in model only extracts: add `response_format` with a JSON Schema or one forced tool, or name \
                           a model of a remote provider";
            return Err(Error::invalid("/model", message));
        }
        request.chat = Some(Arc::new(chat));
        Ok(request)
    }
}

impl ItemRun<'_> {
    /// Passes the request's chat completion through. The answer is among the [`ChatMessages`].
    pub(super) async fn pass_through(&mut self, text: &str) -> Result<Success, Error> {
        self.attempts = 1;
        self.call(text, None, None).await?;
        Ok(Success {
            data: Value::Null.into(),
            model: self.model_label(),
            repairs: Vec::new(),
            cached: false,
        })
    }
}
