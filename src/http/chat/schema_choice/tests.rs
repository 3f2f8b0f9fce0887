use serde_json::{Value, json};

use super::*;

fn choose(body: &Value) -> Result<Option<SchemaChoice>, Error> {
    schema_choice(&Fields::parse(body.to_string().as_bytes()).unwrap())
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "title": name}}})
}

fn named(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

#[test]
fn a_schema_or_one_forced_tool_is_an_extraction() {
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "P", "schema": {"type": "array"}}});
    let forced = |name: &str, is_named| AnswerForm::Tool {
        name: name.to_owned(),
        is_named,
    };
    for (body, pointer, form) in [
        (
            json!({"response_format": format}),
            "/response_format/json_schema/schema",
            AnswerForm::Content,
        ),
        (
            json!({"response_format": format, "tools": [tool("A")], "tool_choice": "none"}),
            "/response_format/json_schema/schema",
            AnswerForm::Content,
        ),
        (
            json!({"tools": [tool("A"), tool("B")], "tool_choice": named("B")}),
            "/tools/1/function/parameters",
            forced("B", true),
        ),
        (
            json!({"tools": [tool("A")], "tool_choice": "required"}),
            "/tools/0/function/parameters",
            forced("A", false),
        ),
    ] {
        let choice = choose(&body).unwrap().unwrap();
        assert_eq!((&*choice.pointer, choice.form), (pointer, form), "{body}");
        assert_eq!(choice.mode, Mode::Auto);
    }
    let object = choose(&json!({"response_format": {"type": "json_object"}}));
    assert_eq!(object.unwrap().unwrap().mode, Mode::JsonObject);
}

#[test]
fn a_model_that_may_choose_is_passed_through() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "P", "schema": {}}});
    for body in [
        json!({}),
        json!({"response_format": {"type": "text"}}),
        json!({"response_format": null, "tools": null}),
        json!({"tools": [tool("A")]}),
        json!({"tools": [tool("A")], "tool_choice": "auto", "response_format": format}),
        json!({"tools": [tool("A"), tool("B")], "tool_choice": "required"}),
        json!({"functions": [{"name": "f"}], "function_call": {"name": "f"}}),
    ] {
        assert!(choose(&body).unwrap().is_none(), "{body}");
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    for (body, at, words) in [
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "P"}}}),
            "/response_format/json_schema/schema",
            "required",
        ),
        (
            json!({"response_format": {"type": "grammar"}}),
            "/response_format/type",
            "grammar",
        ),
        (
            json!({"response_format": "json"}),
            "/response_format",
            "an object",
        ),
        (
            json!({"tools": [tool("A")], "tool_choice": named("B")}),
            "/tool_choice",
            "\"A\"",
        ),
        (json!({"tools": {}}), "/tools", "an array"),
    ] {
        let error = choose(&body).unwrap_err();
        assert_eq!(error.errors[0].pointer, at, "{body}");
        assert!(error.detail.contains(words), "{}", error.detail);
    }
}
