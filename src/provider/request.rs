//! Request for one call to a model, before it is encoded in a wire format.

use std::sync::Arc;

use schema_dialect::Tree;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::adaptation::Trial;
use super::call_memory::CallMemory;
use super::request_template::RequestTemplate;
use crate::long_work::{LONG_TEXT_BYTES, run_off_worker};
use crate::types::{Example, FieldError, LoweredByMode, Mode, TraceContext, written_size};

/// Callback that receives each text delta of a streamed answer.
pub type TextSink<'a> = &'a (dyn Fn(Mode, &str) + Send + Sync);

/// Request for one call to a model.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Name of the model at the provider.
    pub model: &'a str,
    /// True if the configuration names the model. Other models are named by callers.
    pub is_configured_model: bool,
    /// Output mode. `Auto`: the best mode that the provider is known to support.
    pub mode: Mode,
    pub schema: Schema<'a>,
    /// Instructions of the caller, added to the system prompt.
    pub instructions: Option<&'a str>,
    /// True if the input is a conversation, whose user says what the answer is to be; false: a text to extract from.
    pub is_conversation: bool,
    /// Worked examples.
    pub examples: &'a [Example],
    /// Text to extract from.
    pub input: &'a str,
    /// Previous answer and its validation errors; `None` in the first attempt.
    pub feedback: Option<&'a ValidationFeedback>,
    /// Sampling temperature, 0 to 2.
    pub temperature: f64,
    /// Maximum number of output tokens; `None`: the provider's default.
    pub max_output_tokens: Option<u32>,
    /// Sampling seed; `None`: random.
    pub seed: Option<i64>,
    /// Fields that are added to the encoded body.
    pub extra_body: Option<&'a Map<String, Value>>,
    /// True if some of these fields are the caller's, not the model's.
    pub has_callers_fields: bool,
    /// Cache of the encoded request body, shared by all items of a batch.
    pub template: &'a RequestTemplate,
    /// Adaptations that the item tries.
    pub trial: &'a Trial,
    /// Trace context of the call.
    pub trace_context: Option<&'a TraceContext>,
    /// Index of the API key to call with, from 0.
    pub key: usize,
    /// Receiver of text deltas; if set, the answer is streamed. The deltas of a successful call add
    /// up to the answer's text; those of a failed call must be discarded.
    pub on_text: Option<TextSink<'a>>,
    /// Memory of the answer; `None`: not counted.
    pub memory: Option<&'a CallMemory>,
}

impl Request<'_> {
    /// Returns the length of what surrounds the input, which is the same for each item: instructions, examples and further fields.
    pub(super) fn prompt_bytes(&self) -> usize {
        let text_of = |example: &Example| example.input.0.len() + json_bytes(&example.output);
        self.template.prompt_bytes(|| {
            let instructions = self.instructions.map_or(0, str::len);
            let fields = self.extra_body.map_or(0, fields_bytes);
            instructions + fields + self.examples.iter().map(text_of).sum::<usize>()
        })
    }

    /// Returns the length of all texts of the request: of its input and what surrounds it, its schema and the answer that it repeats.
    pub(super) fn text_bytes(&self) -> usize {
        let feedback = self.feedback.map_or(0, |feedback| feedback.answer.len());
        self.input.len() + self.prompt_bytes() + self.schema.raw.get().len() + feedback
    }
}

/// Returns the length of a value as compact JSON, without writing it.
fn json_bytes(value: &Value) -> usize {
    written_size(value, usize::MAX).unwrap_or_default()
}

/// Returns the length of fields as compact JSON, about. Long ones are counted off the worker.
pub(super) fn fields_bytes(fields: &Map<String, Value>) -> usize {
    let count = |max: usize| {
        fields.iter().try_fold(0, |sum: usize, (name, value)| {
            let sum = sum + name.len() + "\"\":,".len();
            Some(sum + written_size(value, max.checked_sub(sum)?)?)
        })
    };
    let short = count(LONG_TEXT_BYTES);
    short.unwrap_or_else(|| run_off_worker(true, || count(usize::MAX)).unwrap_or_default())
}

/// JSON Schema of the answer, in the forms that providers need.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    /// Normalised form.
    pub tree: &'a Arc<Tree>,
    /// Caller's document as compact JSON.
    pub raw: &'a RawValue,
    /// Schema lowered to the dialect of each mode.
    pub forms: &'a LoweredByMode,
    /// Description of the formats that models often get wrong, for the prompt; empty if the schema uses none.
    pub format_notes: &'a str,
}

/// Invalid answer and its validation errors, sent back to the model in a validation retry.
#[derive(Debug, Clone)]
pub struct ValidationFeedback {
    pub answer: String,
    pub errors: Vec<FieldError>,
}
