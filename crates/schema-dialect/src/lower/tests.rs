use serde_json::{Map, Value, json};

use super::conjunction::Conjunction;
use super::description::Description;
use super::lowered_node::LoweringError;
use super::lowering::MAX_UNROLLED;
use super::*;
use crate::SchemaDocument;
use crate::dialect::{EnumRule, ExtraRule, ReferenceRule, Strictness};
use crate::mapping::NullPolicy;

/// Takes little: what OpenAI's strict mode takes, but for the keywords that limit a value.
static STRICT: Dialect = Dialect {
    name: "strict",
    whole: false,
    strict: Strictness::Always,
    object_root: true,
    all_required: true,
    extra: ExtraRule::False,
    any: false,
    enums: EnumRule::Scalars,
    ..Dialect::WHOLE
};
static ACYCLIC: Dialect = Dialect {
    references: ReferenceRule::Acyclic,
    extra: ExtraRule::False,
    any: false,
    enums: EnumRule::Scalars,
    whole: false,
    ..Dialect::WHOLE
};

fn lower_to(schema: &Value, dialect: &'static Dialect) -> Option<LoweredSchema> {
    let text = to_raw_value(schema).unwrap();
    let document = SchemaDocument::parse(schema.clone()).unwrap();
    lower(&Tree::build(document).unwrap(), &text, dialect)
}

fn lowered(schema: &Value, dialect: &'static Dialect) -> (Value, LoweredSchema) {
    let lowered = lower_to(schema, dialect).expect("it has a form");
    (serde_json::from_str(lowered.raw.get()).unwrap(), lowered)
}

/// Returns the lowered schema of a property in an object that requires it.
fn property(schema: &Value) -> Value {
    let (json, _) = lowered(
        &json!({"type": "object", "properties": {"p": schema}, "required": ["p"], "$defs": {"d": {"type": "string"}}}),
        &STRICT,
    );
    json["properties"]["p"].clone()
}

#[test]
fn what_is_not_taken_is_said_in_words() {
    for (schema, words) in [
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 3}),
            "at least 3 items",
        ),
        (
            json!({"type": "string", "pattern": "^a+$", "description": "A word."}),
            "A word. (matches the regular expression ^a+$)",
        ),
        (
            json!({"type": "string", "format": "date"}),
            "format: a date (YYYY-MM-DD)",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}),
            "at least 1; less than 9",
        ),
        (
            json!({"type": "number", "multipleOf": 0.5}),
            "a multiple of 0.5",
        ),
        (
            json!({"type": "string", "not": {"const": "x"}}),
            r#"must not be valid against {"const":"x"}"#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            "no item twice",
        ),
        (json!({"type": "string", "default": "x"}), r#"default: "x""#),
    ] {
        let part = property(&schema);
        assert_eq!(part["description"], words, "{schema}: {part}");
    }
    let object = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"],
        "dependentRequired": {"a": ["b"]}, "if": {"required": ["a"]}, "then": {"required": ["b"]}});
    let words = property(&object)["description"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        words.contains("with `a` comes `b`") && words.contains("if valid against"),
        "{words}"
    );
}

#[test]
fn each_keyword_has_its_form() {
    let text = json!({"type": "object", "properties": {"json": {"type": "string", "description": "The value as JSON text"}},
        "required": ["json"], "additionalProperties": false});
    for (schema, form) in [
        (
            json!({"const": "a"}),
            json!({"type": "string", "enum": ["a"]}),
        ),
        (
            json!({"enum": ["a", null]}),
            json!({"type": ["string", "null"], "enum": ["a", null]}),
        ),
        (
            json!({"enum": [1, "a"]}),
            json!({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]}),
        ),
        (
            json!({"type": ["string", "null"]}),
            json!({"type": ["string", "null"]}),
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ),
        (
            json!({"allOf": [{"type": ["string", "integer"]}, {"type": ["string", "null"]}]}),
            json!({"type": "string"}),
        ),
        (
            json!({"allOf": [{"$ref": "#/$defs/d"}]}),
            json!({"$ref": "#/$defs/d"}),
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"type": "array", "description": "the members of an object, each as its key and its value", "items": {"type": "object",
                "properties": {"key": {"type": "string"}, "value": {"type": "integer"}}, "required": ["key", "value"],
                "additionalProperties": false}}),
        ),
        (
            json!({}),
            json!({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, text, {"type": "null"}]}),
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
            json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "description": r#"its first 2 items, in this order: "string", "integer""#}),
        ),
    ] {
        assert_eq!(property(&schema), form, "{schema}");
    }
}

#[test]
fn optional_is_nullable_and_absence_comes_back() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": ["null", "string"]}},
        "required": ["a"]});
    let (json, lowered) = lowered(&schema, &STRICT);
    assert_eq!(json["required"], json!(["a", "b", "c"]));
    assert_eq!(
        json["properties"]["b"],
        json!({"type": ["integer", "null"]})
    );
    assert_eq!(
        lowered.lowered(&json!({"a": "x"})),
        json!({"a": "x", "b": null, "c": null})
    );
    // A null that is the caller's own stays; one that is not was never there.
    assert_eq!(
        lowered.raised(
            json!({"a": "x", "b": null, "c": null}),
            NullPolicy::OwnValue
        ),
        json!({"a": "x", "c": null})
    );
    assert_eq!(
        lowered.raised(json!({"a": "x", "b": null, "c": null}), NullPolicy::Absence),
        json!({"a": "x"})
    );
    assert_eq!(
        lowered.raised(json!({"a": "x"}), NullPolicy::OwnValue),
        json!({"a": "x"})
    );
}

#[test]
fn a_null_stays_where_the_callers_schema_takes_it() {
    let schema = json!({"type": "object", "properties": {"k": {"type": "string"}, "n": {"type": "integer"}}, "required": ["k"],
        "if": {"properties": {"k": {"const": "a"}}}, "then": {"properties": {"x": {"type": ["string", "null"]}}}});
    let validator = jsonschema::validator_for(&schema).unwrap();
    let (_, lowered) = lowered(&schema, &STRICT);
    let lifted = |value| lowered.lifted(value, |value| validator.is_valid(value));
    for own in [
        json!({"k": "a", "x": null}),
        json!({"k": "b", "x": null}),
        json!({"k": "b", "n": 1, "x": "y"}),
    ] {
        assert_eq!(lifted(own.clone()), own);
    }
    assert_eq!(
        lifted(json!({"k": "a", "n": null, "x": "y"})),
        json!({"k": "a", "x": "y"})
    );
}

#[test]
fn maps_and_texts_come_back_and_the_callers_own_form_is_left_alone() {
    let schema = json!({"type": "object", "properties": {"tags": {"type": "object", "additionalProperties": {}}, "any": {}},
        "required": ["any"], "additionalProperties": {"type": "integer"}});
    let own = json!({"tags": {"a": 1, "b": {"c": [null]}}, "any": {"deep": [1]}, "other": 5});
    let (json, lowered) = lowered(&schema, &STRICT);
    assert_eq!(
        json["properties"]["additional_properties"]["items"]["properties"]["value"],
        json!({"type": "integer"})
    );
    let asked = lowered.lowered(&own);
    let entries =
        json!([{"key": "a", "value": 1}, {"key": "b", "value": {"json": "{\"c\":[null]}"}}]);
    assert_eq!(
        asked,
        json!({"tags": entries, "any": {"json": "{\"deep\":[1]}"}, "additional_properties": [{"key": "other", "value": 5}]})
    );
    assert_eq!(lowered.raised(asked, NullPolicy::OwnValue), own);
    assert_eq!(lowered.raised(own.clone(), NullPolicy::OwnValue), own);
    assert_eq!(
        lowered.raised(json!("no object"), NullPolicy::OwnValue),
        json!("no object")
    );
    assert_eq!(
        lowered.raised(json!({"any": {"json": "{no"}}), NullPolicy::OwnValue)["any"],
        json!({"json": "{no"})
    );
}

#[test]
fn alternatives_are_told_apart_on_the_way_back() {
    let schema = json!({"oneOf": [
        {"type": "object", "properties": {"kind": {"const": "map"}, "of": {"type": "object", "additionalProperties": {"type": "string"}}}, "required": ["kind"]},
        {"type": "object", "properties": {"kind": {"const": "list"}, "of": {"type": "array", "items": {"type": "object"}}}, "required": ["kind"]},
    ]});
    let (json, lowered) = lowered(&schema, &STRICT);
    assert_eq!(
        json["properties"]["value"]["anyOf"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let entries = json!([{"key": "a", "value": "b"}]);
    assert_eq!(
        lowered.raised(
            json!({"value": {"kind": "map", "of": entries}}),
            NullPolicy::OwnValue
        ),
        json!({"kind": "map", "of": {"a": "b"}})
    );
    assert_eq!(
        lowered.raised(
            json!({"value": {"kind": "list", "of": [entries]}}),
            NullPolicy::OwnValue
        ),
        json!({"kind": "list", "of": [{"a": "b"}]})
    );
}

#[test]
fn what_refers_to_itself_is_unrolled_where_it_has_to_be() {
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["n"],
        "properties": {"n": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}}}}});
    let (json, kept) = lowered(&schema, &STRICT);
    assert_eq!(
        json["properties"]["next"],
        json!({"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})
    );
    let own = (0..6).fold(json!({"n": 9}), |next, n| json!({"n": n, "next": next}));
    assert_eq!(kept.raised(kept.lowered(&own), NullPolicy::OwnValue), own);
    let (json, unrolled) = lowered(&schema, &ACYCLIC);
    assert_eq!(json["$defs"].as_object().unwrap().len(), MAX_UNROLLED);
    let asked = unrolled.lowered(&own);
    assert!(
        asked.pointer("/next/next/next/next/json").is_some(),
        "{asked}"
    );
    assert_eq!(unrolled.raised(asked, NullPolicy::OwnValue), own);
}

#[test]
fn what_no_value_can_be_has_no_form() {
    let schema = json!({"type": "object", "properties": {"a": {"allOf": [{"enum": ["x"]}, {"enum": ["y"]}]}}, "required": ["a"]});
    assert!(lower_to(&schema, &STRICT).is_none());
    let (json, _) = lowered(
        &json!({"type": "object", "properties": {"a": false, "b": {"type": "string"}}, "required": ["b"]}),
        &STRICT,
    );
    assert_eq!(json["required"], json!(["b"]));
}

#[test]
fn draft_7_is_read_as_draft_7() {
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["t", "r"],
        "properties": {"t": {"items": [{"type": "string"}], "additionalItems": false},
            "r": {"$ref": "#/definitions/d", "type": "integer", "description": "of draft 7"}},
        "dependencies": {"t": ["r"]}, "definitions": {"d": {"type": "boolean"}}});
    let (json, _) = lowered(&schema, &STRICT);
    assert_eq!(json["$defs"]["d"], json!({"type": "boolean"}));
    assert_eq!(json["properties"]["r"], json!({"$ref": "#/$defs/d"}));
    let words = json["description"].as_str().unwrap();
    assert!(
        words.contains("`r`: of draft 7") && words.contains("with `t` comes `r`"),
        "{words}"
    );
    assert_eq!(json["properties"]["t"]["items"], json!({"type": "string"}));
}

#[test]
fn a_root_that_is_no_object_is_wrapped_and_its_references_follow() {
    let list = json!({"type": "array", "items": {"$ref": "#/$defs/p"}, "$defs": {"p": {"type": "string"}}});
    for dialect in [&STRICT, &WHOLE_OBJECT] {
        let (schema, lowered) = lowered(&list, dialect);
        let reference = schema["properties"]["value"]["items"]["$ref"]
            .as_str()
            .unwrap();
        assert_eq!(
            schema.pointer(reference.trim_start_matches('#')),
            Some(&json!({"type": "string"}))
        );
        assert_eq!(
            lowered.raised(json!({"value": ["a"]}), NullPolicy::OwnValue),
            json!(["a"])
        );
        assert_eq!(
            lowered.raised(json!(["a"]), NullPolicy::OwnValue),
            json!(["a"])
        );
    }
}

static WHOLE_OBJECT: Dialect = Dialect::OBJECT;

#[test]
fn an_empty_list_is_an_empty_map_only_where_no_list_may_be() {
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let schema =
        json!({"type": "object", "properties": {"either": {"oneOf": [map, list]}, "map": map}});
    for dialect in [&STRICT, &ACYCLIC] {
        let (_, lowered) = lowered(&schema, dialect);
        for own in [
            json!({"either": {}, "map": {}}),
            json!({"either": [], "map": {"a": 1}}),
            json!({"either": {"a": 1}}),
        ] {
            assert_eq!(
                lowered.raised(lowered.lowered(&own), NullPolicy::OwnValue),
                own
            );
            assert_eq!(lowered.raised(own.clone(), NullPolicy::OwnValue), own);
        }
        assert_eq!(
            lowered.raised(json!({"map": []}), NullPolicy::OwnValue),
            json!({"map": {}})
        );
    }
    let any = json!({"$ref": "#/$defs/object", "$defs": {"object": {"type": "object", "additionalProperties": {"$ref": "#/$defs/any"}},
        "any": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/any"}}, {"$ref": "#/$defs/object"}, {"type": "string"}]}}});
    let own = json!({"a": {}, "b": [{}, [], {"c": {}}]});
    let (_, any) = lowered(&any, &STRICT);
    assert_eq!(any.raised(any.lowered(&own), NullPolicy::OwnValue), own);
    // What had to be wrapped and is not is none of what was asked for.
    assert_eq!(
        lowered(&map, &STRICT)
            .1
            .raised(json!([]), NullPolicy::OwnValue),
        json!([])
    );
    assert_eq!(
        lowered(&map, &STRICT)
            .1
            .raised(json!({"value": []}), NullPolicy::OwnValue),
        json!({})
    );
}

#[test]
fn conditions_within_conditions_name_their_properties() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "if": {"properties": {"a": {"const": "x"}}},
        "then": {"properties": {"b": {"type": "integer"}}, "if": {"required": ["b"]},
            "else": {"properties": {"c": {"type": "boolean"}}, "anyOf": [{"properties": {"d": {"type": "null"}}}, {"required": ["e"]}]}}});
    let (json, _) = lowered(&schema, &STRICT);
    assert_eq!(json["required"], json!(["a", "b", "c", "d", "e"]));
}

#[test]
fn what_stands_beside_an_old_reference_widens_what_is_asked_for() {
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["n", "p"],
        "properties": {"n": {"$ref": "#/definitions/range", "type": ["integer", "object"]},
            "p": {"$ref": "#/definitions/range", "properties": {"step": {"type": "integer"}}}},
        "definitions": {"range": {"properties": {"min": {"$ref": "#/definitions/range", "type": ["integer", "object"]}}}}});
    let (json, lowered) = lowered(&schema, &STRICT);
    assert_eq!(
        json["properties"]["n"],
        json!({"anyOf": [{"$ref": "#/$defs/range"}, {"type": "integer"}]})
    );
    assert_eq!(json["properties"]["p"]["required"], json!(["min", "step"]));
    for own in [
        json!({"n": 1, "p": {"step": 2}}),
        json!({"n": {"min": 1}, "p": {"min": {"min": 3}}}),
    ] {
        assert_eq!(
            lowered.raised(lowered.lowered(&own), NullPolicy::OwnValue),
            own
        );
    }
}

#[test]
fn what_is_merged_into_itself_is_cut_off() {
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "additionalProperties":
        {"minProperties": 1, "anyOf": [{"type": "string"}, {"$ref": "#/$defs/node"}]}}}});
    for dialect in [&STRICT, &ACYCLIC] {
        let (json, lowered) = lowered(&schema, dialect);
        let text = json.to_string();
        assert!(text.len() < 4000, "{}: {text}", dialect.name);
        let own = (0..8).fold(json!({"x": "y"}), |inner, _| json!({"a": inner, "b": "c"}));
        assert_eq!(
            lowered.raised(lowered.lowered(&own), NullPolicy::OwnValue),
            own
        );
    }
}

#[test]
fn a_value_that_looks_like_a_reference_is_left_as_it_is_where_the_schema_is_wrapped() {
    let value = json!({"$ref": "#/$defs/d"});
    let schema = json!({"const": value, "properties": {"const": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"default": value}}});
    let (json, _) = lowered(&schema, &WHOLE_OBJECT);
    let inner = &json["properties"]["value"];
    assert_eq!(
        (&inner["const"], &json["$defs"]["d"]["default"]),
        (&value, &value)
    );
    assert_eq!(inner["properties"]["const"]["$ref"], "#/$defs/d");
}

/// Returns the schema of an object whose properties refer to one definition, each with a constraint of its own.
fn referring(count: usize, definition: &Value) -> Value {
    let property = json!({"$ref": "#/$defs/x", "minProperties": 0});
    let properties: Map<_, _> = (0..count)
        .map(|n| (format!("p{n}"), property.clone()))
        .collect();
    json!({"type": "object", "properties": properties, "$defs": {"x": definition}})
}

#[test]
fn what_many_refer_to_is_not_copied_without_end() {
    let long = "n".repeat(50_000);
    let values: Vec<_> = (0..5000).map(|n| format!("{n}")).collect();
    for definition in [
        json!({"enum": values}),
        json!({"enum": values, "const": "7"}),
        json!({"properties": {long.clone(): {"type": "string"}}}),
        json!({"if": true, "then": {"required": [long.clone()]}}),
        json!({"type": "string", "default": long}),
    ] {
        let schema = referring(1000, &definition);
        let text = schema.to_string();
        let tree = Tree::build(SchemaDocument::parse(schema).unwrap()).unwrap();
        let mut lowering = Lowering::new(&tree, text.len(), &STRICT, Effort::Full);
        let root = Conjunction::inline(tree.root(), 0);
        assert_eq!(
            lowering.part(&root).err(),
            Some(LoweringError::Full),
            "{definition}"
        );
        // The last schema counted is the one that does not fit.
        let most = lowering.most_copied + text.len();
        assert!(lowering.count.copied_bytes <= 2 * most, "{definition}");
        let document = RawValue::from_string(text).unwrap();
        assert!(lower(&tree, &document, &STRICT).is_none());
    }
    // A list of countries at each of a hundred properties fits.
    let codes: Vec<_> = (0..250).map(|n| format!("{n:02X}")).collect();
    let (json, _) = lowered(&referring(100, &json!({"enum": codes})), &STRICT);
    assert_eq!(json["properties"]["p99"]["enum"][249], "F9");
}

#[test]
fn a_description_keeps_no_more_memory_than_its_text() {
    let mut words = Description::default();
    words.add_text(&"é".repeat(100_000));
    words.add_constraint("x".repeat(100_000));
    let text = words.into_text(None).unwrap();
    assert!(
        text.len() <= 4000 && text.capacity() < 8192,
        "{}",
        text.capacity()
    );
}
