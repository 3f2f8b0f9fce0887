//! Choice between an extraction and a completion that is passed through: the schema of a request, and the place of the answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::Fields;
use crate::types::{Error, Mode, truncate_for_display};

/// Maximum number of tools that an error lists.
const MAX_NAMES: usize = 20;

/// Schema of a request's answer.
#[derive(Debug)]
pub struct SchemaChoice {
    pub schema: Box<RawValue>,
    /// JSON Pointer to the schema in the request.
    pub pointer: String,
    /// Name and description of the schema or tool, which may tell the model what is wanted.
    pub name: Option<String>,
    pub description: Option<String>,
    /// Mode that the schema needs; `auto`: any.
    pub mode: Mode,
    pub form: AnswerForm,
}

/// Place of an answer in a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerForm {
    /// Content of the message.
    Content,
    /// Arguments of a tool call. `is_named`: the request names the tool, rather than requires any.
    Tool { name: String, is_named: bool },
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
struct JsonSchema {
    name: Option<String>,
    description: Option<String>,
    schema: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tool {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ToolChoice {
    Mode(String),
    Named { function: NamedFunction },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct NamedFunction {
    name: String,
}

/// Returns the schema of a request; `None`: the model is free to answer otherwise, so the request is passed through.
///
/// # Errors
/// `invalid_request` at the field that cannot be used.
pub fn schema_choice(fields: &Fields) -> Result<Option<SchemaChoice>, Error> {
    let tools = tools(fields)?;
    let choice = fields.parse_field(
        "tool_choice",
        "\"none\", \"auto\", \"required\" or an object that names a tool",
    )?;
    // The functions of the API's first version are passed through.
    if fields.get("functions").is_some() {
        return Ok(None);
    }
    let (index, is_named) = match &choice {
        Some(ToolChoice::Named { function }) => (named_tool(&tools, &function.name)?, true),
        Some(ToolChoice::Mode(mode)) if mode == "required" && tools.len() == 1 => (0, false),
        Some(ToolChoice::Mode(mode)) if mode == "none" => return from_format(fields),
        _ if tools.is_empty() => return from_format(fields),
        _ => return Ok(None),
    };
    let Some(function) = tools.into_iter().nth(index).and_then(|tool| tool.function) else {
        return Ok(None);
    };
    Ok(Some(SchemaChoice {
        schema: function.parameters.map_or_else(any_object, Ok)?,
        pointer: format!("/tools/{index}/function/parameters"),
        description: function.description,
        mode: Mode::Auto,
        form: AnswerForm::Tool {
            name: function.name.clone(),
            is_named,
        },
        name: Some(function.name),
    }))
}

fn tools(fields: &Fields) -> Result<Vec<Tool>, Error> {
    const EXPECTED: &str = "an array of tools, each with `type` and `function`";
    let tools: Vec<Box<RawValue>> = fields.parse_field("tools", EXPECTED)?.unwrap_or_default();
    let read = |(index, tool): (usize, Box<RawValue>)| {
        serde_json::from_str(tool.get()).map_err(|_| {
            let message =
                "must be an object with `type`, and with `function`, which has at least a `name`";
            Error::invalid(format!("/tools/{index}"), message)
        })
    };
    tools.into_iter().enumerate().map(read).collect()
}

fn named_tool(tools: &[Tool], name: &str) -> Result<usize, Error> {
    let is_named = |tool: &Tool| tool.function.as_ref().is_some_and(|f| f.name == name);
    tools.iter().position(is_named).ok_or_else(|| {
        let names = tools
            .iter()
            .filter_map(|tool| Some(truncate_for_display(&tool.function.as_ref()?.name)))
            .take(MAX_NAMES)
            .map(|name| format!("\"{name}\""));
        let names = names.collect::<Vec<_>>().join(", ");
        let message = format!(
            "the tool \"{}\" is not among `tools`, which has {}",
            truncate_for_display(name),
            if names.is_empty() { "none" } else { &names }
        );
        Error::invalid("/tool_choice", message)
    })
}

fn from_format(fields: &Fields) -> Result<Option<SchemaChoice>, Error> {
    const EXPECTED: &str =
        "an object with `type`: \"text\", \"json_object\", or \"json_schema\" with `json_schema`";
    let Some(format) = fields.parse_field::<ResponseFormat>("response_format", EXPECTED)? else {
        return Ok(None);
    };
    let content = |schema, format: Option<JsonSchema>, mode| SchemaChoice {
        schema,
        pointer: "/response_format/json_schema/schema".to_owned(),
        name: format.as_ref().and_then(|format| format.name.clone()),
        description: format.and_then(|format| format.description),
        mode,
        form: AnswerForm::Content,
    };
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(content(any_object()?, None, Mode::JsonObject))),
        "json_schema" => {
            let mut format = format.json_schema;
            let schema = format.as_mut().and_then(|format| format.schema.take());
            let schema = schema.ok_or_else(|| {
                let message = "this field is required: a JSON Schema";
                Error::invalid("/response_format/json_schema/schema", message)
            })?;
            Ok(Some(content(schema, format, Mode::Auto)))
        }
        other => {
            let message = format!(
                "the type \"{}\" is not supported; supported are \"text\", \"json_object\" and \"json_schema\"",
                truncate_for_display(other)
            );
            Err(Error::invalid("/response_format/type", message))
        }
    }
}

/// Returns the schema of an object with any members.
fn any_object() -> Result<Box<RawValue>, Error> {
    RawValue::from_string("{\"type\":\"object\"}".to_owned())
        .map_err(|error| Error::invalid("", error.to_string()))
}

#[cfg(test)]
mod tests;
