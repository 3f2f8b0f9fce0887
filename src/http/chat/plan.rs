//! Plan of a chat completion: an extraction, if the request has a schema; else a completion that is passed through.

use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::super::json_body;
use super::body::Fields;
use super::messages;
use super::options::{self, Options};
use super::schema_choice::{AnswerForm, SchemaChoice, schema_choice};
use crate::extraction::{Chat, Models};
use crate::provider::ChatBody;
use crate::types::{Error, FieldError, Mode, Single, Spec, member_pointer};

/// Default timeout of a completion that is passed through, in milliseconds: that of OpenAI's own clients.
const PASS_THROUGH_TIMEOUT_MS: u64 = 600_000;

/// Fields whose absence from a provider's request changes nothing about an answer.
const IGNORABLE: [&str; 10] = [
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "verbosity",
    "parallel_tool_calls",
];

/// Fields that an extraction sets itself, or that it has no use for.
const OWN: [&str; 18] = [
    "model",
    "messages",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "n",
    "stream",
    "stream_options",
    "modalities",
    "audio",
    "logprobs",
    "top_logprobs",
    "stop",
];

/// Number of copies of a body's text that are made of it while it is planned, beside its values: the texts of its fields, and what the
/// spec is parsed from, or the text of all messages.
pub const PLANNING_COPIES: usize = 2;

/// A chat completion that can be run.
#[derive(Debug)]
pub struct Plan {
    pub spec: Spec,
    pub text: String,
    pub is_streamed: bool,
    /// True if the last chunk of a stream has the usage.
    pub include_usage: bool,
    pub kind: PlanKind,
}

/// Kind of a plan.
#[derive(Debug)]
pub enum PlanKind {
    Extraction {
        form: AnswerForm,
        /// True if a stream has the answer while it is written.
        is_live: bool,
        /// JSON Pointer to the schema in the request.
        schema: String,
    },
    PassThrough(Chat),
}

/// Plans a chat completion.
///
/// # Errors
/// `invalid_request` at the field that cannot be used.
pub fn plan(fields: Fields, models: &Models) -> Result<Plan, Error> {
    let messages: Option<Vec<Value>> = fields.parse_field("messages", "an array of messages")?;
    let Some(messages) = messages else {
        let hint = if fields.get("input").is_some() {
            "; `input` is a field of POST /v1/responses"
        } else {
            ""
        };
        let message = format!("this field is required: an array of messages{hint}");
        return Err(Error::invalid("/messages", message));
    };
    if messages.is_empty() {
        return Err(Error::invalid(
            "/messages",
            "must have at least one message",
        ));
    }
    reject_always(&fields)?;
    let choice = schema_choice(&fields)?;
    let is_streamed = fields
        .parse_field("stream", "true or false")?
        .unwrap_or(false);
    let include_usage = include_usage(&fields)?;
    let (spec, text, kind) = match choice {
        Some(choice) => extraction(fields, messages, choice, models)?,
        None => pass_through(fields, messages, is_streamed, models)?,
    };
    Ok(Plan {
        spec,
        text,
        is_streamed,
        include_usage,
        kind,
    })
}

fn include_usage(fields: &Fields) -> Result<bool, Error> {
    let options: Option<Map<String, Value>> = fields.parse_field(
        "stream_options",
        "an object such as {\"include_usage\": true}",
    )?;
    let wanted = options.and_then(|options| options.get("include_usage")?.as_bool());
    Ok(wanted.unwrap_or(false))
}

/// Rejects what no answer of this endpoint can have.
fn reject_always(fields: &Fields) -> Result<(), Error> {
    if let Some(n) = fields.parse_field::<u64>("n", "a whole number")?
        && n != 1
    {
        let message =
            format!("must be 1, and is {n}: one answer per request; send several requests instead");
        return Err(Error::invalid("/n", message));
    }
    let modalities: Vec<String> = fields
        .parse_field("modalities", "an array of strings")?
        .unwrap_or_default();
    if fields.get("audio").is_some() || modalities.iter().any(|kind| kind == "audio") {
        let at = if fields.get("audio").is_some() {
            "/audio"
        } else {
            "/modalities"
        };
        return Err(Error::invalid(
            at,
            "answers are text; audio is not supported",
        ));
    }
    Ok(())
}

/// Rejects what an answer that is validated cannot have.
fn reject_with_schema(fields: &Fields) -> Result<(), Error> {
    let reject = |name: &str, why: &str| {
        let message = format!(
            "cannot be used together with a schema: {why}; leave out this field, or the schema to pass the request through"
        );
        Err(Error::invalid(member_pointer("", name), message))
    };
    let logprobs: bool = fields
        .parse_field("logprobs", "true or false")?
        .unwrap_or(false);
    if logprobs
        || fields
            .get("top_logprobs")
            .is_some_and(|top| top.get() != "0")
    {
        let name = if logprobs { "logprobs" } else { "top_logprobs" };
        return reject(name, "a validated answer has no log probabilities");
    }
    let has_stop = fields
        .get("stop")
        .is_some_and(|stop| !matches!(stop.get().trim(), "[]" | "\"\""));
    if has_stop {
        return reject("stop", "an answer that stops early is not valid JSON");
    }
    Ok(())
}

type Planned = (Spec, String, PlanKind);

fn extraction(
    mut fields: Fields,
    messages: Vec<Value>,
    choice: SchemaChoice,
    models: &Models,
) -> Result<Planned, Error> {
    reject_with_schema(&fields)?;
    // The messages are no longer needed as text.
    fields.take("messages");
    let Options {
        fields: options,
        live,
    } = options::take_options(&mut fields, true)?;
    let conversation = messages::conversation(messages)?;
    let mut spec = SpecText::default();
    spec.add("schema", choice.schema.get());
    let mode = (choice.mode != Mode::Auto).then_some(choice.mode.as_str());
    if let Some(mode) = mode.filter(|_| options.get("mode").is_none()) {
        spec.add_value("mode", &mode.into());
    }
    let instructions = instructions(conversation.instructions, &choice);
    if !instructions.is_empty() {
        spec.add_value("instructions", &instructions.into());
    }
    let model = add_common(&mut spec, &fields, models)?;
    for (name, value) in options.iter().filter(|(name, _)| *name != "extra_body") {
        spec.add(name, value.get());
    }
    let extra = extra_fields(&fields, &options, models, model.as_deref())?;
    if !extra.is_empty() {
        spec.add_value("extra_body", &Value::Object(extra));
    }
    let mut spec = spec
        .parse()
        .map_err(|error| relocate(error, &choice.pointer))?;
    spec.is_conversation = true;
    let kind = PlanKind::Extraction {
        form: choice.form,
        // Rules hold for the whole answer only, and only then absent values are known.
        is_live: live.unwrap_or(spec.rules.is_empty() && !spec.grounding.changes_answers()),
        schema: choice.pointer,
    };
    Ok((spec, conversation.text, kind))
}

/// Returns the instructions of the messages, and what the request says of its schema or tool.
fn instructions(mut instructions: String, choice: &SchemaChoice) -> String {
    if let Some(description) = &choice.description
        && !description.trim().is_empty()
    {
        if !instructions.is_empty() {
            instructions.push_str("\n\n");
        }
        if let Some(name) = &choice.name {
            instructions.push_str(name);
            instructions.push_str(": ");
        }
        instructions.push_str(description);
    }
    instructions
}

fn pass_through(
    mut fields: Fields,
    messages: Vec<Value>,
    is_streamed: bool,
    models: &Models,
) -> Result<Planned, Error> {
    let Options {
        fields: options, ..
    } = options::take_options(&mut fields, false)?;
    let mut spec = SpecText::default();
    add_common(&mut spec, &fields, models)?;
    for (name, value) in options.iter() {
        spec.add(name, value.get());
    }
    if options.get("timeout_ms").is_none() {
        spec.add_value("timeout_ms", &PASS_THROUGH_TIMEOUT_MS.into());
    }
    let spec = spec.parse().map_err(|error| relocate(error, "/schema"))?;
    fields.take("n");
    let json = |name| fields.get(name).map_or("", RawValue::get);
    // Room for the texts of the messages, which are no longer than their JSON, so that it does not grow by doubling.
    let mut text = String::with_capacity(json("messages").len() + json("tools").len());
    messages::write_texts(&messages, &mut text);
    drop(messages);
    text.push_str(json("tools"));
    text.shrink_to_fit();
    let chat = Chat::new(ChatBody::new(fields.into_texts()), is_streamed);
    Ok((spec, text, PlanKind::PassThrough(chat)))
}

/// Adds the fields that both kinds of plans have. Returns the model.
fn add_common(
    spec: &mut SpecText,
    fields: &Fields,
    models: &Models,
) -> Result<Option<String>, Error> {
    let model = fields
        .parse_field::<String>("model", "a string")?
        .map(|model| models.resolve(&model));
    if let Some(model) = &model {
        spec.add_value("model", &model.as_str().into());
    }
    fields.parse_field::<f64>("temperature", "a number from 0 to 2")?;
    fields.parse_field::<i64>("seed", "a whole number of 64 bits")?;
    for name in ["max_completion_tokens", "max_tokens"] {
        fields.parse_field::<u32>(name, "a whole number from 1")?;
    }
    for (name, value) in [
        ("temperature", fields.get("temperature")),
        ("seed", fields.get("seed")),
        (
            "max_output_tokens",
            fields
                .get("max_completion_tokens")
                .or_else(|| fields.get("max_tokens")),
        ),
    ] {
        if let Some(value) = value {
            spec.add(name, value.get());
        }
    }
    Ok(model)
}

/// Returns the fields for the provider alone. One with another API than Chat Completions takes none of OpenAI's.
fn extra_fields(
    fields: &Fields,
    options: &Fields,
    models: &Models,
    model: Option<&str>,
) -> Result<Map<String, Value>, Error> {
    let takes_all = models.has_chat_completions(model);
    let mut extra: Map<String, Value> = options
        .parse_field("extra_body", "an object")
        .map_err(|error| error.with_pointer_prefix("/extractd"))?
        .unwrap_or_default();
    for (name, value) in fields.iter().filter(|(name, _)| !OWN.contains(name)) {
        if takes_all {
            let value = || serde_json::from_str(value.get()).unwrap_or_default();
            extra.entry(name).or_insert_with(value);
        } else if !IGNORABLE.contains(&name) {
            let message = "the provider of this model has another API than OpenAI's, without this field; leave it out, or put the \
                           provider's own fields into `extractd.extra_body`";
            return Err(Error::invalid(member_pointer("", name), message));
        }
    }
    Ok(extra)
}

/// Moves the pointers of an error from the spec to the fields of the request.
pub fn relocate(error: Error, schema: &str) -> Error {
    let errors: Vec<_> = error
        .errors
        .iter()
        .map(|field| {
            let pointer = request_pointer(&field.pointer, schema);
            FieldError::new(pointer, field.message.clone())
        })
        .collect();
    let detail = match (errors.as_slice(), error.errors.first()) {
        ([field], Some(old)) if error.detail.starts_with(&*old.pointer) => {
            format!("{}: {}", field.pointer, field.message).into()
        }
        _ => error.detail.clone(),
    };
    Error {
        detail,
        errors,
        ..error
    }
}

fn request_pointer(pointer: &str, schema: &str) -> String {
    let (first, rest) = match pointer.strip_prefix('/') {
        None => return pointer.to_owned(),
        Some(path) => match path.find('/').and_then(|end| path.split_at_checked(end)) {
            Some((first, rest)) => (first, rest),
            None => (path, ""),
        },
    };
    match first {
        "schema" => format!("{schema}{rest}"),
        "instructions" | "input" | "inputs" => "/messages".to_owned(),
        "max_output_tokens" => "/max_completion_tokens".to_owned(),
        "model" | "temperature" | "seed" => pointer.to_owned(),
        "extra_body" => rest.to_owned(),
        _ => format!("/extractd{pointer}"),
    }
}

/// Spec under construction, as JSON text, so that the schema keeps its bytes and each field is checked as in `/v1/extract`.
#[derive(Debug, Default)]
struct SpecText(IndexMap<String, Box<RawValue>>);

impl SpecText {
    fn add(&mut self, name: &str, json: &str) {
        if let Ok(value) = RawValue::from_string(json.to_owned()) {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn add_value(&mut self, name: &str, value: &Value) {
        if let Ok(value) = to_raw_value(value) {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn parse(self) -> Result<Spec, Error> {
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        drop(self);
        let single: Single = json_body::from_text(&text)?;
        Ok(single.spec)
    }
}
