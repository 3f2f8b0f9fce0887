//! Schemas within a request, and requests for registered schemas.

use super::*;

/// Returns `levels` of references, each twice to the next: a validator that follows them all takes 2^levels steps.
fn fan_out(levels: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
        definitions.insert(format!("l{level}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert(
        format!("l{levels}"),
        json!({"type": "string", "const": "never"}),
    );
    json!({"$ref": "#/$defs/l0", "$defs": definitions})
}

fn nested(depth: usize) -> String {
    format!("{}{{}}{}", "{\"items\":".repeat(depth), "}".repeat(depth))
}

#[tokio::test]
async fn invalid_schemas_are_rejected_with_their_pointer() {
    let raw = |what, schema: &str| {
        Bad::new(
            what,
            EXTRACT,
            format!("{{\"input\": \"Ada\", \"schema\": {schema}}}"),
            422,
            "invalid_schema",
        )
    };
    let property = |schema: Value| json!({"type": "object", "properties": {"age": schema}});
    check(
        vec![
            Bad::schema("an unknown type", json!({"type": "objekt"}), "/schema/type"),
            Bad::schema("an unknown type deep inside", property(json!({"type": "int"})), "/schema/properties/age/type"),
            Bad::schema("a type that is a number", json!({"type": 3}), "/schema/type"),
            Bad::schema("properties that are an array", json!({"properties": []}), "/schema/properties"),
            Bad::schema("a property that is a number", property(json!(7)), "/schema/properties/age"),
            Bad::schema("required that is text", json!({"required": "age"}), "/schema/required"),
            Bad::schema("an empty anyOf", json!({"anyOf": []}), "/schema/anyOf"),
            Bad::schema(
                "a negative length",
                property(json!({"type": "string", "minLength": -1})),
                "/schema/properties/age/minLength",
            ),
            Bad::schema("a pattern that is none", property(json!({"pattern": "(["})), "/schema/properties/age/pattern"),
            Bad::schema("a pattern of patternProperties", json!({"patternProperties": {"([": {}}}), ""),
            Bad::schema(
                "a pattern that grows beyond bounds",
                property(json!({"pattern": "((a{999}){999}){999}"})),
                "/schema/properties/age/pattern",
            ),
            Bad::schema(
                "a remote reference",
                property(json!({"$ref": "https://example.com/schema.json"})),
                "/schema/properties/age/$ref",
            ),
            Bad::schema("a reference to a file", property(json!({"$ref": "file:///etc/passwd"})), "/schema/properties/age/$ref"),
            Bad::schema("a relative reference", property(json!({"$ref": "other.json"})), "/schema/properties/age/$ref"),
            Bad::schema("a reference to nothing", property(json!({"$ref": "#/$defs/none"})), "/schema/properties/age/$ref"),
            Bad::schema("a reference to itself", json!({"$ref": "#"}), "/schema/$ref"),
            Bad::schema(
                "a ring of references",
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
                "",
            ),
            Bad::schema(
                "a ring through anyOf",
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}),
                "",
            ),
            Bad::schema("references that fan out", fan_out(30), ""),
            raw("too deep", &nested(2_000)).or(400, "invalid_json"),
            raw("too deep for a stack", &nested(100_000)).or(400, "invalid_json"),
            Bad::schema("an enum without end", json!({"enum": (0..1_000_000).collect::<Vec<_>>()}), ""),
            Bad::schema(
                "200,000 properties",
                json!({"properties": (0..200_000).map(|n| (format!("p{n}"), json!({}))).collect::<serde_json::Map<_, _>>()}),
                "",
            ),
        ],
        23,
    )
    .await;
}

#[tokio::test]
async fn invalid_requests_for_registered_schemas_are_rejected() {
    let schema = fixture::schema().to_string();
    let put = |what, name: &str, body: &str, status, code| {
        Bad::new(what, &format!("/v1/schemas/{name}"), body, status, code).method(Method::PUT)
    };
    check(
        vec![
            put(
                "a name in capitals",
                "Person",
                &schema,
                422,
                "invalid_request",
            ),
            put(
                "a name that begins with a dash",
                "-person",
                &schema,
                422,
                "invalid_request",
            ),
            put(
                "a name that is too long",
                &"p".repeat(65),
                &schema,
                422,
                "invalid_request",
            ),
            put("a name with a dot", "a.b", &schema, 422, "invalid_request"),
            put(
                "a schema that is none",
                "person",
                "{\"type\": \"objekt\"}",
                422,
                "invalid_schema",
            )
            .at_pointer("/type"),
            put(
                "a schema that is not JSON",
                "person",
                "{",
                400,
                "invalid_json",
            ),
            put(
                "a schema as text",
                "person",
                &schema,
                415,
                "unsupported_media_type",
            )
            .content_type(Some("text/plain")),
            Bad::new(
                "an unknown schema",
                "/v1/schemas/nobody",
                "",
                404,
                "not_found",
            )
            .method(Method::GET)
            .content_type(None),
            Bad::new(
                "an unknown schema to delete",
                "/v1/schemas/nobody",
                "",
                404,
                "not_found",
            )
            .method(Method::DELETE)
            .content_type(None),
            Bad::new(
                "POST to a schema",
                "/v1/schemas/person",
                schema.clone(),
                405,
                "method_not_allowed",
            ),
            Bad::new(
                "an unknown query parameter",
                "/v1/schemas?page=2",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at_pointer("/page"),
            Bad::new(
                "a limit of nothing",
                "/v1/schemas?limit=0",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at_pointer("/limit"),
            Bad::new(
                "a limit beyond",
                "/v1/schemas?limit=1001",
                "",
                422,
                "invalid_request",
            )
            .method(Method::GET)
            .content_type(None)
            .at_pointer("/limit"),
        ],
        13,
    )
    .await;
}

#[tokio::test]
async fn a_long_name_of_a_schema_is_not_repeated() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let name = "n".repeat(2_000_000);
    let answer = server
        .extract(&json!({"input": "Ada", "schema": name}))
        .await;
    answer.problem(422, "invalid_request");
    assert!(answer.text().len() < 2_000, "{}", answer.text().len());
}
