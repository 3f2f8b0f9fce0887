use serde_json::{Value, json};

use crate::{Keyword, NodeRef, SchemaDocument, SchemaError, Tree, check_emptiness};

pub fn tree(schema: Value) -> Tree {
    let document = SchemaDocument::parse(schema).unwrap();
    Tree::build(document).unwrap()
}

fn refused(schema: Value) -> SchemaError {
    SchemaDocument::parse(schema)
        .and_then(Tree::build)
        .map(|tree| panic!("accepted: {}", tree.json()))
        .unwrap_err()
}

#[test]
fn every_draft_becomes_the_same_tree() {
    let old = json!({
        "$schema": "http://json-schema.org/draft-04/schema#", "id": "http://example.com/root.json",
        "type": "object",
        "definitions": {"age": {"type": "integer", "minimum": 0, "exclusiveMinimum": true}},
        "properties": {"age": {"$ref": "#/definitions/age"}, "pair": {"items": [{"type": "string"}], "additionalItems": false}},
        "dependencies": {"a": ["b"], "c": {"required": ["d"]}}
    });
    assert_eq!(
        **tree(old).json(),
        json!({
            "type": "object",
            "properties": {"age": {"$ref": "#/$defs/age"}, "pair": {"prefixItems": [{"type": "string"}], "items": false}},
            "dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}},
            "$defs": {"age": {"type": "integer", "exclusiveMinimum": 0}}
        })
    );
}

#[test]
fn identifiers_anchors_and_dynamic_references_are_resolved() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/tree",
        "$dynamicAnchor": "node",
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$dynamicRef": "#node"}},
            "inner": {"$ref": "item"}, "named": {"$ref": "#a"}, "pointer": {"$ref": "item#/$defs/x"}
        },
        "$defs": {
            "item": {"$id": "item", "$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}},
            "a": {"$anchor": "a", "type": "null"}
        }
    });
    let tree = tree(schema);
    let properties = tree.root().properties().unwrap();
    let follow = |name: &str| properties.get(name).unwrap().target();
    let children = properties.get("children").and_then(NodeRef::items);
    assert_eq!(children.and_then(NodeRef::reference), Some(tree.root()));
    assert_eq!(follow("inner").to_string(), r#"{"type":"integer"}"#);
    assert_eq!(follow("pointer").to_string(), r#"{"type":"integer"}"#);
    assert_eq!(follow("named").to_string(), r#"{"type":"null"}"#);
    assert_eq!(follow("pointer").locate(), "/$defs/item/$defs/x");
}

#[test]
fn the_meta_schemas_can_be_referred_to() {
    for uri in [
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-04/schema#",
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
    ] {
        let tree = tree(json!({"properties": {"schema": {"$ref": uri}}}));
        let schema = tree.root().properties().and_then(|all| all.get("schema"));
        let target = schema.unwrap().target();
        assert!(
            target.properties().is_some() || target.all_of().is_some(),
            "{uri}"
        );
    }
}

#[test]
fn without_a_draft_the_newest_valid_one_counts() {
    let schema = json!({"type": "number", "minimum": 1, "exclusiveMinimum": true});
    assert_eq!(
        **tree(schema).json(),
        json!({"type": "number", "exclusiveMinimum": 1})
    );
    let schema = json!({"items": [{"type": "string"}]});
    assert_eq!(
        **tree(schema).json(),
        json!({"prefixItems": [{"type": "string"}]})
    );
    assert_eq!(
        **tree(json!({"$defs": {}, "const": 1})).json(),
        json!({"const": 1})
    );
}

#[test]
fn nullable_adds_null() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "nullable": true, "enum": ["x"]},
        "b": {"allOf": [{"$ref": "#/definitions/b"}], "nullable": true},
        "c": {"type": "string", "nullable": false}
    }, "definitions": {"b": {"type": "integer"}}});
    let tree = tree(schema);
    assert_eq!(
        tree.json()["properties"],
        json!({
            "a": {"type": ["string", "null"], "enum": ["x", null]},
            "b": {"anyOf": [{"allOf": [{"$ref": "#/$defs/b"}]}, {"type": "null"}]},
            "c": {"type": "string"}
        })
    );
    assert_eq!(tree.warnings().len(), 2);
    assert_eq!(tree.warnings()[0].pointer, "/properties/a/nullable");
}

#[test]
fn local_references_may_be_literal() {
    for (name, reference) in [
        ("Page<Item>", "#/definitions/Page<Item>"),
        ("Page<Item>", "#/definitions/Page%3CItem%3E"),
        ("Page%3CItem%3E", "#/definitions/Page%3CItem%3E"),
        ("a b", "#/definitions/a b"),
        ("a/b", "#/definitions/a/b"),
        ("a/b", "#/definitions/a~1b"),
        ("a~b", "#/definitions/a~b"),
        ("Größe", "#/definitions/Größe"),
        ("Pick<A,\"b\"|\"c\">", "#/definitions/Pick<A,\"b\"|\"c\">"),
        ("100%", "#/definitions/100%"),
    ] {
        let tree = tree(json!({"$ref": reference, "definitions": {name: {"type": "integer"}}}));
        assert_eq!(
            tree.root().target().to_string(),
            r#"{"type":"integer"}"#,
            "{name} {reference}"
        );
        assert!(
            jsonschema::validator_for(tree.document()).is_ok_and(|validator| !validator
                .is_valid(&json!("a"))
                && validator.is_valid(&json!(1))),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_schema_is_refused_with_what_to_write() {
    for (schema, pointer, message) in [
        (
            json!({"name": "string"}),
            "",
            r#"{"type":"object","properties":{"name":{"type":"string"}}}"#,
        ),
        (
            json!({"title": "string", "description": "str"}),
            "",
            "properties",
        ),
        (
            json!({"name": "Ada", "age": 36}),
            "",
            r#""age":{"type":"integer"}"#,
        ),
        (
            json!({"name": "person", "strict": true, "schema": {"type": "object"}}),
            "",
            "`schema`",
        ),
        (
            json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}),
            "",
            "`json_schema.schema`",
        ),
        (
            json!({"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}),
            "",
            "`function.parameters`",
        ),
        (
            json!({"name": "a", "input_schema": {"type": "object"}}),
            "",
            "`input_schema`",
        ),
        (json!("{\"type\": \"object\"}"), "", "without the quotes"),
        (json!([{"name": "string"}]), "", "array"),
        (json!(null), "", "null"),
        (
            json!({"type": "object", "properties": {"name": "string"}}),
            "/properties/name",
            r#"{"type":"string"}"#,
        ),
        (json!({"type": "str"}), "/type", "did you mean \"string\""),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "required": true}}}),
            "/properties/a/required",
            "array of names",
        ),
        (
            json!({"$ref": "#/definitions/missing"}),
            "/$ref",
            "leads nowhere",
        ),
        (
            json!({"properties": {"a": {"$ref": "https://example.com/other.json#/x"}}}),
            "/properties/a/$ref",
            "nothing is fetched",
        ),
    ] {
        let error = refused(schema.clone());
        assert_eq!(error.pointer, pointer, "{schema}: {}", error.message);
        assert!(
            error.message.contains(message),
            "{schema}: {}",
            error.message
        );
    }
}

#[test]
fn mistakes_are_warned_of() {
    for (schema, pointer, meant) in [
        (
            json!({"type": "object", "propertys": {}}),
            "/propertys",
            "`properties`",
        ),
        (
            json!({"type": "string", "minlength": 2}),
            "/minlength",
            "`minLength`",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "format": "dat"}}}),
            "/properties/a/format",
            "\"date\"",
        ),
        (
            json!({"type": "string", "format": "datetime"}),
            "/format",
            "\"date-time\"",
        ),
        (
            json!({"type": "object", "name": {"type": "string"}}),
            "/name",
            "`properties`",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependentRequired": {}}),
            "/dependentRequired",
            "2019-09",
        ),
        (
            json!({"$schema": "http://iglucentral.com/schemas/a", "type": "object"}),
            "/$schema",
            "not fetched",
        ),
    ] {
        let tree = tree(schema.clone());
        let warning = tree
            .warnings()
            .first()
            .unwrap_or_else(|| panic!("{schema}"));
        assert_eq!(warning.pointer, pointer);
        assert!(warning.message.contains(meant), "{}", warning.message);
    }
    for schema in [
        json!({"type": "string", "format": "int32", "x-order": 1}),
        json!({"type": "object", "properties": {"note": {"type": "string"}}, "propertyOrdering": ["note"]}),
    ] {
        assert_eq!(tree(schema.clone()).warnings(), [], "{schema}");
    }
}

#[test]
fn what_nothing_satisfies_is_found() {
    for schema in [
        json!({"type": "object", "required": ["a"], "properties": {"b": {}}, "additionalProperties": false}),
        json!({"type": "integer", "minimum": 5, "maximum": 3}),
        json!({"type": "string", "enum": [1, 2]}),
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "minLength": 3, "maxLength": 2}}}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"anyOf": [{"type": "string", "const": 1}, false]}),
        json!({"type": "array", "minItems": 1, "items": false}),
        json!({"type": "object", "allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"required": ["b"]}]}),
        json!({"not": {}}),
        json!(false),
    ] {
        assert!(
            check_emptiness(&tree(schema.clone())).whole.is_some(),
            "{schema}"
        );
    }
    for schema in [
        json!({"required": ["a"], "properties": {"b": {}}, "additionalProperties": false}),
        json!({"minimum": 5, "maximum": 3}),
        json!({"type": "number", "minimum": 3, "maximum": 3}),
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
        json!({"type": ["string", "null"], "enum": [null]}),
        json!({"type": "object", "required": ["ab"], "patternProperties": {"^a": {}}, "additionalProperties": false}),
    ] {
        assert!(
            check_emptiness(&tree(schema.clone())).whole.is_none(),
            "{schema}"
        );
    }
    let optional =
        json!({"type": "object", "properties": {"a": {"type": "string", "enum": [1]}, "b": false}});
    let parts = check_emptiness(&tree(optional)).parts;
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].pointer, "/properties/a");
}

#[test]
fn every_node_knows_its_place_in_the_document() {
    let document = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {
            "a/b": {"items": [{"type": "string"}, {"title": "second"}], "additionalItems": {"title": "others"}},
            "c": {"allOf": [{"$ref": "#/definitions/d", "minLength": 3}]}
        },
        "dependencies": {"x": ["y"], "z": {"title": "with z"}},
        "definitions": {"d": {"not": {"title": "never"}}, "unused": {"title": "unused"}}
    });
    let tree = tree(document.clone());
    let mut places = Vec::new();
    for schema in tree.schemas() {
        let place = schema.locate();
        let source = document
            .pointer(&place)
            .unwrap_or_else(|| panic!("{place}"));
        assert_eq!(schema.title(), source.get("title").and_then(Value::as_str));
        places.push(place);
    }
    places.sort();
    let expected = [
        "",
        "/definitions/d",
        "/definitions/d/not",
        "/dependencies/z",
        "/properties/a~1b",
        "/properties/a~1b/additionalItems",
        "/properties/a~1b/items/0",
        "/properties/a~1b/items/1",
        "/properties/c",
        "/properties/c/allOf/0",
    ];
    assert_eq!(places, expected);
    let properties = tree.root().properties().unwrap();
    let all = properties.get("c").and_then(NodeRef::all_of).unwrap();
    let ignored = all.get(0).and_then(NodeRef::ignored_siblings).unwrap();
    assert_eq!(ignored.locate(), "/properties/c/allOf/0");
    assert_eq!(
        ignored.number(Keyword::MinLength).unwrap().as_u64(),
        Some(3)
    );
}

#[test]
fn a_tree_is_written_as_it_was_read() {
    for schema in [
        json!({"type": ["string", "null"], "minLength": 2, "pattern": "^a", "format": "date", "default": null, "enum": ["a", {"b": [1]}]}),
        json!({"type": "number", "multipleOf": 0.1, "minimum": 12_345_678_901_234_567_890_u64}),
        json!({"properties": {"a": true, "b": false, "c": {}}, "required": ["a"], "dependentRequired": {"a": ["b"]}}),
        json!({"anyOf": [{"not": {"const": {"$ref": "#"}}}, {"if": {"contains": {}}, "then": false, "else": {"uniqueItems": true}}]}),
        json!({"x-extractd-grounding": "off", "title": "T", "description": "D", "examples": [1, "a"], "readOnly": true}),
        json!({"patternProperties": {"^a": {"$ref": "#/$defs/b"}}, "propertyNames": {"maxLength": 3}, "$defs": {"b": {"items": {"$ref": "#"}}}}),
        json!(true),
    ] {
        assert_eq!(**tree(schema.clone()).json(), schema);
    }
    let digits = r#"{"maximum":1234567890123456789012.50,"const":1.10}"#;
    let schema = serde_json::from_str(digits).unwrap();
    assert_eq!(tree(schema).root().to_string(), digits);
}
