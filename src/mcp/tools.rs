//! The tools: their descriptions and schemas, and the request that each one sends.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

use super::api::ApiRequest;
use crate::types::truncate_for_display;

/// Returns the tools in the order in which an assistant should consider them.
pub fn tools() -> Vec<Tool> {
    let read_only = || ToolAnnotations::new().read_only(true);
    let calls_model = || ToolAnnotations::new().destructive(false).open_world(true);
    vec![
        tool(
            "extract",
            "Extract from one text",
            "Extracts data from one text. Returns `data`, valid against the schema, with the tokens used.",
            &spec(
                "input",
                &json!({"type": "string", "description": "Text to extract from"}),
            ),
            calls_model(),
        ),
        tool(
            "extract_batch",
            "Extract from several texts",
            "Extracts data from several texts at once and waits for all. Returns `results` in the order of `inputs`; an item that \
             failed has an `error`. For more than some hundred texts use start_job.",
            &spec("inputs", &inputs()),
            calls_model(),
        ),
        tool(
            "start_job",
            "Start a job",
            "Starts a durable job that extracts data from many texts, and returns at once with its `id`. The job goes on when this \
             session ends.",
            &spec("inputs", &inputs()),
            calls_model().idempotent(false),
        ),
        tool(
            "job_status",
            "Status of a job",
            "Returns the state of a job: `status`, `counts` of items, `rate_per_s` and `eta_ms`. Ended are completed, failed and \
             cancelled.",
            &json!({"type": "object", "properties": {"id": job_id()}, "required": ["id"], "additionalProperties": false}),
            read_only(),
        ),
        tool(
            "job_results",
            "Results of a job",
            "Returns a page of the results of a job, in the order of its inputs. While `has_more` is true, the next page starts \
             after `next`.",
            &json!({
                "type": "object",
                "properties": {
                    "id": job_id(),
                    "after": {"type": "string", "description": "`next` of the previous page"},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Results in the page. Default 100"},
                },
                "required": ["id"],
                "additionalProperties": false,
            }),
            read_only(),
        ),
    ]
}

/// Returns the request that a tool sends.
///
/// # Errors
/// A message for the client: there is no such tool, or an argument is missing or of the wrong type.
pub fn request(name: &str, mut arguments: JsonObject) -> Result<ApiRequest, String> {
    match name {
        "extract" => Ok(ApiRequest::post("/v1/extract", arguments.into())),
        "extract_batch" => Ok(ApiRequest::post("/v1/extract/batch", arguments.into())),
        "start_job" => Ok(ApiRequest::post("/v1/jobs", arguments.into())),
        "job_status" => Ok(ApiRequest::get(job_path(&mut arguments)?)),
        "job_results" => {
            let path = job_path(&mut arguments)?;
            let query: Vec<_> = ["limit", "after"]
                .into_iter()
                .filter_map(|name| Some((name, arguments.remove(name)?)))
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    format!("{name}={}", percent_encoded(&text))
                })
                .collect();
            Ok(ApiRequest::get(format!(
                "{path}/results?{}",
                query.join("&")
            )))
        }
        _ => Err(format!(
            "there is no tool `{}`; the tools are extract, extract_batch, start_job, job_status and job_results",
            truncate_for_display(name)
        )),
    }
}

/// Returns a text as part of a path or query.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn job_path(arguments: &mut JsonObject) -> Result<String, String> {
    match arguments.remove("id") {
        Some(Value::String(id)) if !id.is_empty() => {
            Ok(format!("/v1/jobs/{}", percent_encoded(&id)))
        }
        _ => Err("`id` is required: the ID of a job, as start_job returned it".to_owned()),
    }
}

fn tool(
    name: &'static str,
    title: &str,
    description: &'static str,
    schema: &Value,
    annotations: ToolAnnotations,
) -> Tool {
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new(name, description, schema)
        .with_title(title)
        .with_annotations(annotations)
}

fn job_id() -> Value {
    json!({"type": "string", "description": "ID of the job, `job_…`"})
}

fn inputs() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": "Texts to extract from"})
}

/// Returns the schema of the arguments of a tool that extracts. All other fields of the API are taken as well; the API checks them.
fn spec(input: &str, input_schema: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            input: input_schema,
            "schema": {
                "type": ["object", "string"],
                "description": "JSON Schema of the data, or the name of a registered schema (see the resources)",
            },
            "instructions": {"type": "string", "description": "What to extract, and how. Optional"},
            "model": {"type": "string", "description": "Configured model, or provider/model. Optional: the server's default"},
            "grounding": {
                "type": "string",
                "enum": ["off", "report", "drop", "require"],
                "description": "Check of each value against the text. report: `evidence` says where each value stands, or that it \
                                is absent; drop: absent values are removed where the schema allows it; require: the model is asked \
                                again, and an item with absent values fails. Default off",
            },
        },
        "required": [input, "schema"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str, arguments: &Value) -> String {
        let arguments = arguments.as_object().cloned().unwrap();
        request(name, arguments).unwrap().path
    }

    #[test]
    fn each_tool_has_a_request_and_a_schema() {
        for tool in tools() {
            let arguments = json!({"id": "job_1", "input": "x"});
            let request = request(&tool.name, arguments.as_object().cloned().unwrap()).unwrap();
            assert!(request.path.starts_with("/v1/"), "{}", request.path);
            assert_eq!(tool.input_schema["type"], "object");
            let calls_model = ["extract", "extract_batch", "start_job"].contains(&&*tool.name);
            let modes = tool.input_schema["properties"].get("grounding");
            assert_eq!(modes.is_some(), calls_model, "{}", tool.name);
            assert!(tool.description.is_some_and(|text| text.len() > 40));
        }
        let error = request("summarise", JsonObject::new()).unwrap_err();
        assert!(error.contains("extract_batch"), "{error}");
    }

    #[test]
    fn ids_and_cursors_cannot_leave_their_path() {
        assert_eq!(
            path("job_status", &json!({"id": "../schemas/x?y"})),
            "/v1/jobs/%2E%2E%2Fschemas%2Fx%3Fy"
        );
        assert_eq!(
            path(
                "job_results",
                &json!({"id": "job_1", "after": "a&limit=9", "limit": 5})
            ),
            "/v1/jobs/job%5F1/results?limit=5&after=a%26limit%3D9"
        );
        assert!(request("job_status", JsonObject::new()).is_err());
    }
}
