//! Answers without JSON: lines, XML, YAML and prose.

use super::*;

#[test]
fn lines_xml_and_scalars_are_parsed_from_text() {
    let ann = json!({"full_name": "Ann Lee", "age": 3});
    for text in [
        "Full name: Ann Lee\nAge: 3",
        "**Full Name:** Ann Lee\n**Age:** 3 years",
        "- full_name: \"Ann Lee\"\n- age: 3\n\nAnything else?",
        "Here you are:\n\n* Full name: Ann Lee\n* Age: 3",
        "<full_name>Ann Lee</full_name>\n<age>3</age>",
        "<person><full_name>Ann Lee</full_name><age>3</age></person>",
        "```yaml\nfull_name: Ann Lee\nage: 3\n```",
        "<think>hm</think>full_name: Ann Lee\nage: 3",
    ] {
        check_coerced(&person(), &[(text, ann.clone())]);
    }
    check_rejected(
        &person(),
        &[
            "Full name: Ann Lee",
            "Full name: Ann\nand Bo\nAge: 3",
            "Full name: Ann\nFull name: Bo\nAge: 3",
            "Full name:\nAge: 3",
            "<full_name>Ann",
            "I can't say.",
            "<full_name>Ann</full_name><full_name>Bo</full_name><age>3</age>",
            "<full_name>Ann <b>Lee</b></full_name><age>3</age>",
        ],
    );
    check_coerced(
        &json!({"type": "integer"}),
        &[
            ("The total is 1,250.", json!(1250)),
            ("12 apples", json!(12)),
        ],
    );
    check_rejected(
        &json!({"type": "integer"}),
        &[
            "There are 3 or 4.",
            "Of 10 there are 3.",
            "It is not 3.",
            "I'm sorry, I cannot count to 3.",
        ],
    );
    check_coerced(
        &json!({"type": "boolean"}),
        &[
            ("Yes, it does.", json!(true)),
            ("The answer is false.", json!(false)),
            ("True", json!(true)),
        ],
    );
    check_rejected(
        &json!({"type": "boolean"}),
        &[
            "Yes and no",
            "It is not true",
            "That is true of most of them",
            "I don't know",
        ],
    );
    check_coerced(
        &json!({"type": "string"}),
        &[
            ("Rosa Parks", json!("Rosa Parks")),
            ("'Rosa'", json!("Rosa")),
        ],
    );
    check_rejected(
        &json!({"type": "string"}),
        &[
            "I'm sorry, I can't help with that.",
            "}",
            "one\ntwo",
            "As an AI model, I do not know.",
        ],
    );
}

#[test]
fn nested_xml_elements_are_objects_lists_and_maps() {
    let schema = json!({"type": "object", "required": ["name", "tags"], "properties": {
        "name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "at": {"anyOf": [{"$ref": "#/$defs/at"}, {"type": "null"}]}},
        "$defs": {"at": {"type": "object", "required": ["zip"], "properties": {"zip": {"type": "integer"}}}}});
    check_coerced(
        &schema,
        &[
            (
                "So:\n<who>\n <name>A &amp; B</name>\n <tags>\n  <tag>x</tag>\n  <tag>y</tag>\n </tags>\n <at><zip>123</zip></at>\n</who>",
                json!({"name": "A & B", "tags": ["x", "y"], "at": {"zip": 123}}),
            ),
            (
                "<who><Name>A</Name><tags>x</tags><tags>y</tags><counts><entry><key>k</key><value>2</value></entry></counts></who>",
                json!({"name": "A", "tags": ["x", "y"], "counts": {"k": 2}}),
            ),
            (
                "<?xml version=\"1.0\"?>\n<name>A</name><tags/><counts><k>2</k></counts><at>null</at>",
                json!({"name": "A", "tags": [], "counts": {"k": 2}, "at": null}),
            ),
        ],
    );
    check_rejected(
        &schema,
        &[
            "<who><name>A</name><tags><tag>x</tag>",
            "<who><name>A</name><tags><tag>x</tag></who></tags>",
            "<who><name>A <b>B</b></name><tags><tag>x</tag></tags></who>",
            "<who><name>A</name><tags><tag>x</tag> and <tag>y</tag></tags></who>",
            "<who><name>A</name><name>B</name><tags><tag>x</tag></tags></who>",
            "<who><name>A</name><tags><tag>x</tag><note>y</note></tags></who>",
            "<who><name>A</name><tags><tag>x</tag></tags><other>y</other></who>",
        ],
    );
    let list = json!({"type": "array", "items": {"type": "integer"}});
    check_coerced(
        &list,
        &[("<items><item>1</item><item>2</item></items>", json!([1, 2]))],
    );
    check_rejected(
        &list,
        &[
            "<items><item>1</item><item>2</item>",
            &format!("{}1{}", "<a>".repeat(70), "</a>".repeat(70)),
        ],
    );
    let nullable = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "integer"}, "b": {"type": ["string", "null"]}}});
    check_coerced(
        &nullable,
        &[
            ("<a>1</a><b>null</b>", json!({"a": 1, "b": null})),
            ("```xml\n<a>2</a>\n```", json!({"a": 2})),
        ],
    );
    check_coerced(
        &json!({"enum": ["ON", "OFF"]}),
        &[("<?xml version=\"1.0\"?><state>OFF</state>", json!("OFF"))],
    );
}

#[test]
fn yaml_in_a_closed_block_of_code_is_read() {
    let schema = json!({"type": "object", "required": ["people"], "properties": {
        "people": {"type": "array", "items": {"$ref": "#/$defs/who"}}, "place": {"type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}}},
        "$defs": {"who": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
            "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}}}}});
    check_coerced(
        &schema,
        &[
            (
                "```yaml\npeople:\n  - name: Ann\n```",
                json!({"people": [{"name": "Ann"}]}),
            ),
            (
                "Here:\n```yml\n---\n# all of them\npeople:\n- name: 'Ann''s'\n  age: 34 # years\n  tags:\n  - a b\n  - \"c: d\"\n-\n  name: Bob\n  tags: [x, y]\nplace:\n  city: Bern\n\n  zip: 03000\n```\nDone.",
                json!({"people": [{"name": "Ann's", "age": 34, "tags": ["a b", "c: d"]}, {"name": "Bob", "tags": ["x", "y"]}],
                    "place": {"city": "Bern", "zip": "03000"}}),
            ),
        ],
    );
    let deep = format!("```yaml\npeople: \n  {}x\n```", "- ".repeat(1000));
    check_rejected(
        &schema,
        &[
            "people:\n  - name: Ann\n  - name: Bob",
            "```yaml\npeople:\n  - name: Ann",
            "```yaml\npeople:\n  - name: Ann\n```\n```yaml\npeople:\n  - name: Bob\n```",
            "```python\npeople:\n  - name: Ann\n```",
            "```yaml\npeople:\n  - name: Ann\n    and Bob\n```",
            "```yaml\npeople:\n  - name: Ann\n    name: Bob\n```",
            "```yaml\npeople:\n  - name: Ann\n age: 3\n```",
            "```yaml\npeople:\n  - name: |\n      Ann\n```",
            "```yaml\npeople:\n  - &a\n  - *a\n```",
            "```yaml\npeople:\n\t- name: Ann\n```",
            "```yaml\npeople:\n  - name: Ann\n  - ...\n```",
            "```yaml\npeople:\n```",
            "```yaml\nnotes: 1\n```",
            &deep,
        ],
    );
    let list = json!({"type": "array", "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}});
    check_coerced(
        &list,
        &[("```yaml\n- n: 1\n- n: 2\n```", json!([{"n": 1}, {"n": 2}]))],
    );
    let text = read(&json!({"type": "string"}), "```yaml\n- n: 1\n```");
    assert!(text.is_none_or(|text| text.value.is_string()));
}
