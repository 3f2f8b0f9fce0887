//! Completion of the OpenAPI document with what operations share: authentication, headers, problems, examples, and the query
//! parameters of NDJSON requests.

#![expect(
    clippy::indexing_slicing,
    reason = "a member that a JSON value lacks reads as null and is added when written"
)]

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{examples, responses};
use crate::schema::NAME_PATTERN as SCHEMA_NAME_PATTERN;
use crate::types::field_is_text;

type Members = Map<String, Value>;

/// Operations that need no key.
const PUBLIC: [&str; 3] = ["get_health", "get_readiness", "get_version"];

/// Returns the document of the routes with what its operations share.
pub fn complete(document: OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for (name, part) in responses::components() {
        document["components"][name] = part;
    }
    document["components"]["securitySchemes"] = json!({"apiKey": {
        "type": "http", "scheme": "bearer",
        "description": "One of the server's API keys. A server without configured keys needs none.",
    }});
    document["security"] = json!([{"apiKey": []}, {}]);
    let mut schemas = document["components"]["schemas"].take();
    constrain_schema_names(&mut schemas);
    for operation in operations(&mut document) {
        complete_operation(operation, &schemas);
    }
    document["components"]["schemas"] = schemas;
    for (name, schema) in responses::event_schemas() {
        document["components"]["schemas"][name] = schema;
    }
    document
}

/// Adds the pattern of a registered schema's name to the `schema` of each request, which the derive macro cannot: it takes no
/// constraint on a variant of an enum.
fn constrain_schema_names(schemas: &mut Value) {
    for request in ["ExtractRequest", "BatchRequest", "JobRequest"] {
        let forms = schemas[request]["properties"]["schema"]["oneOf"].as_array_mut();
        let name = forms.and_then(|forms| forms.iter_mut().find(|form| form["type"] == "string"));
        if let Some(name) = name {
            name["pattern"] = json!(SCHEMA_NAME_PATTERN);
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Members> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    paths
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|methods| methods.values_mut())
        .filter_map(Value::as_object_mut)
}

fn complete_operation(operation: &mut Members, schemas: &Value) {
    let id = operation
        .get("operationId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if PUBLIC.contains(&id.as_str()) {
        operation.insert("security".to_owned(), json!([]));
    }
    let mut parameters = ndjson_parameters(operation, schemas);
    move_ndjson_body(operation);
    if operation.contains_key("requestBody") && !parameters.is_empty() || id == "extract" {
        parameters.push(json!({"$ref": "#/components/parameters/Traceparent"}));
    }
    if !PUBLIC.contains(&id.as_str()) {
        parameters.push(json!({"$ref": "#/components/parameters/RequestId"}));
    }
    let all = operation
        .entry("parameters")
        .or_insert_with(|| json!([]))
        .as_array_mut();
    if let Some(all) = all {
        all.extend(parameters);
    }
    if let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    {
        responses::add(&id, responses);
    }
    examples::add(&id, operation);
}

/// Returns the query parameters of an operation that accepts NDJSON: the fields of its JSON body, except the inputs.
fn ndjson_parameters(operation: &Members, schemas: &Value) -> Vec<Value> {
    let content = operation
        .get("requestBody")
        .map_or(&Value::Null, |body| &body["content"]);
    if content.get("application/x-ndjson").is_none() {
        return Vec::new();
    }
    let body = content["application/json"]["schema"]["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
        .map_or(&Value::Null, |name| &schemas[name]);
    let fields = body["properties"].as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| *name != "inputs")
        .map(|(name, field)| {
            let description = field["description"]
                .as_str()
                .or_else(|| field["oneOf"][0]["description"].as_str())
                .unwrap_or_default();
            json!({
                "name": name, "in": "query", "required": false,
                "description": format!("With an NDJSON body only. {description}"),
                "schema": parameter_schema(name, field),
            })
        })
        .collect()
}

/// Moves the NDJSON body of an operation to the extension `x-ndjson`. As a second content type it would make generated clients
/// accept any text as a body, and some generators warn.
fn move_ndjson_body(operation: &mut Members) {
    let Some(body) = operation.get_mut("requestBody") else {
        return;
    };
    let lines = body["content"]
        .as_object_mut()
        .and_then(|content| content.shift_remove("application/x-ndjson"));
    if lines.is_some() {
        body["description"] = json!(
            "JSON; or, with `Content-Type: application/x-ndjson`, one input per line as in `x-ndjson`, with all other fields as query parameters."
        );
        body["x-ndjson"] = json!({
            "mediaType": "application/x-ndjson",
            "line": {"$ref": "#/components/schemas/BatchInput"},
        });
    }
}

/// Returns the schema of a field as a query parameter: numbers, booleans and texts as they are, all else as JSON.
fn parameter_schema(name: &str, field: &Value) -> Value {
    if let Some(reference) = field["oneOf"][0]
        .get("$ref")
        .filter(|_| field_is_text(name))
    {
        return json!({"$ref": reference});
    }
    let kind = &field["type"][0];
    if matches!(kind.as_str(), Some("object" | "array") | None) {
        return json!({"type": "string", "contentMediaType": "application/json"});
    }
    let mut schema = field.clone();
    schema["type"] = kind.clone();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("description");
    }
    schema
}
