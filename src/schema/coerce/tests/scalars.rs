//! Numbers, booleans, nulls and enumerated words.

use super::*;

#[test]
fn numbers_are_parsed_with_separators_currencies_and_units() {
    let table = [
        ("1,234", json!(1234)),
        ("12,345.60", json!(12345.6)),
        ("1.234.567,5", json!(1_234_567.5)),
        ("9 800", json!(9800)),
        ("1'500", json!(1500)),
        ("$2,499.00", json!(2499)),
        ("€ 17,25", json!(17.25)),
        ("120 EUR", json!(120)),
        ("-$4.5", json!(-4.5)),
        ("45 kg", json!(45)),
        ("61 years old", json!(61)),
        ("35%", json!(35)),
        ("2.5k", json!(2500)),
        ("7 million", json!(7_000_000)),
        ("$3.2M", json!(3_200_000)),
        ("1e3", json!(1000)),
        ("+8", json!(8)),
        ("#3", json!(3)),
        ("4th", json!(4)),
        (" **19** ", json!(19)),
        ("0.10", json!(0.1)),
        ("−6", json!(-6)),
        ("18446744073709551615", json!(u64::MAX)),
    ];
    let table: Vec<_> = table
        .into_iter()
        .map(|(text, number)| (json!(text).to_string(), number))
        .collect();
    let table: Vec<_> = table
        .iter()
        .map(|(text, number)| (text.as_str(), number.clone()))
        .collect();
    check_coerced(&json!({"type": "number"}), &table);
}

#[test]
fn ambiguous_numbers_are_rejected() {
    let texts = [
        "5 or 6",
        "5-6",
        "2 to 3",
        "3,4",
        "1,2345",
        "12,34,567",
        "about 40",
        "~40",
        "more than 9",
        "a dozen",
        "2 dozen",
        "6 ft 2 in",
        "1/4",
        "3 of 10",
        "2024-05-06",
        "10:30",
        "01234",
        "+49 30 1234",
        "1.2.3",
        "ten",
        "",
        "-",
        "1.234,56,7",
        "5 per day",
        "2M",
        "1e999",
        "3 lakh",
        "half of 8",
        "0x1f",
        "5.00 CR",
        "5.00 Cr.",
        "$12.50 DR",
        "12.50 EUR CR",
        "$45.20-",
        "300 BC",
        "5 pm",
        "12 credit",
    ];
    let texts: Vec<_> = texts.iter().map(|text| json!(text).to_string()).collect();
    check_rejected(
        &json!({"type": "number"}),
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    check_rejected(
        &json!({"type": "integer"}),
        &[
            "\"3.7\"",
            "3.7",
            "\"2,50\"",
            "true",
            "[1, 2]",
            "{\"a\": 1, \"b\": 2}",
        ],
    );
    check_rejected(
        &json!({"type": "number", "maximum": 1}),
        &["\"80%\"", "\"80\""],
    );
    let named = |name: &str, text: &str| {
        (
            json!({"properties": {name: {"type": "number"}}}),
            format!("{{\"{name}\": \"{text}\"}}"),
        )
    };
    for (name, text) in [
        ("duration_seconds", "5 minutes"),
        ("heightCm", "1.8 m"),
        ("weight_kg", "150 lbs"),
        ("age", "8 months"),
        ("win_ratio", "40%"),
    ] {
        let (schema, text) = named(name, text);
        check_rejected(&schema, &[&text]);
    }
    for (name, text, number) in [
        ("duration_seconds", "90 seconds", 90),
        ("age", "8 years", 8),
        ("share_percent", "40%", 40),
        ("weight", "70 kg", 70),
    ] {
        let (schema, text) = named(name, text);
        check_coerced(&schema, &[(&text, json!({name: number}))]);
    }
}

#[test]
fn booleans_nulls_and_strings_are_converted_to_the_schemas_type() {
    check_coerced(
        &json!({"type": "boolean"}),
        &[
            ("\"Yes\"", json!(true)),
            ("\"false\"", json!(false)),
            ("\"no.\"", json!(false)),
            ("1", json!(true)),
        ],
    );
    check_rejected(
        &json!({"type": "boolean"}),
        &["\"perhaps\"", "2", "\"yes and no\"", "null"],
    );
    check_coerced(
        &json!({"type": ["integer", "null"]}),
        &[
            ("\"N/A\"", json!(null)),
            ("\"unknown\"", json!(null)),
            ("\"12\"", json!(12)),
        ],
    );
    check_coerced(
        &json!({"type": "string"}),
        &[
            ("41", json!("41")),
            ("[\"x\"]", json!("x")),
            ("12345678901234567890123", json!("12345678901234567890123")),
            ("1.10", json!("1.10")),
        ],
    );
    check_rejected(
        &json!({"type": "string"}),
        &["null", "[\"x\", \"y\"]", "{\"a\": 1, \"b\": 2}"],
    );
    let optional = json!({"properties": {"n": {"type": "integer"}, "s": {"type": "string"}}, "required": ["s"]});
    check_coerced(
        &optional,
        &[
            ("{\"n\": null, \"s\": \"x\"}", json!({"s": "x"})),
            ("{\"n\": \"unknown\", \"s\": \"x\"}", json!({"s": "x"})),
        ],
    );
    check_rejected(
        &optional,
        &[
            "{\"n\": 1, \"s\": null}",
            "{\"n\": \"many\", \"s\": \"x\"}",
            "{\"n\": 1}",
        ],
    );
}

#[test]
fn enumerated_words_are_matched_in_other_forms() {
    let schema = json!({"enum": ["IN_PROGRESS", "done", "not started"]});
    let table = [
        ("\"in progress\"", "IN_PROGRESS"),
        ("\"InProgress\"", "IN_PROGRESS"),
        ("\" Done! \"", "done"),
        ("\"'done'\"", "done"),
        ("[\"DONE\"]", "done"),
        ("\"done: nothing is left\"", "done"),
        ("The state is **done**.", "done"),
        ("\"Not started\"", "not started"),
        ("{\"state\": \"done\"}", "done"),
    ];
    check_coerced(&schema, &table.map(|(text, word)| (text, json!(word))));
    check_rejected(
        &schema,
        &[
            "\"not done\"",
            "\"done or in progress\"",
            "\"isn't done\"",
            "\"open\"",
            "It is neither done nor started.",
            "[\"done\", \"done\"]",
            "\"\"",
            "null",
        ],
    );
    check_coerced(
        &json!({"enum": [1, 2, "3", true]}),
        &[
            ("\"2\"", json!(2)),
            ("3", json!("3")),
            ("\"yes\"", json!(true)),
        ],
    );
    check_rejected(&json!({"enum": ["A", "A+", "a-"]}), &["\"a+-\"", "\"b\""]);
    check_coerced(
        &json!({"enum": ["A", "A+", "a-"]}),
        &[("\"a+\"", json!("A+"))],
    );
    let described = json!({"oneOf": [{"const": "de", "title": "German"}, {"const": "fr", "description": "French, of any kind"}]});
    check_coerced(
        &described,
        &[
            ("\"german\"", json!("de")),
            ("\"French of any kind\"", json!("fr")),
            ("\"DE\"", json!("de")),
        ],
    );
    check_rejected(&described, &["\"de or fr\"", "\"English\""]);
}

#[test]
fn quotes_around_a_text_are_removed() {
    check_coerced(
        &json!({"type": "string"}),
        &[
            (r"'the dog\'s bone'", json!("the dog's bone")),
            ("`left'", json!("left")),
            (r#"\"good day\""#, json!("good day")),
            (r#""good" + " day""#, json!("good day")),
            (r#""yes" and "no""#, json!(r#""yes" and "no""#)),
        ],
    );
}

#[test]
fn underscores_group_digits_on_both_sides_of_the_point() {
    let number =
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}});
    check_coerced(
        &number,
        &[
            ("{\"n\": 1_234.5_6}", json!({"n": 1234.56})),
            ("{\"n\": \"0.000_1\"}", json!({"n": 0.0001})),
        ],
    );
    check_rejected(
        &number,
        &[
            "{\"n\": 1_2.5}",
            "{\"n\": 1.5_}",
            "{\"n\": 1.5__6}",
            "{\"n\": \"1,234.5_6\"}",
            "{\"n\": \"1.234.5_6\"}",
        ],
    );
}

#[test]
fn an_xml_number_is_a_number_if_no_string_is_allowed() {
    let of = |kinds: [&str; 2]| {
        let kinds = kinds.map(|kind| json!({"type": kind}));
        json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"anyOf": kinds}, "b": {"type": "string"}}})
    };
    check_coerced(
        &of(["integer", "boolean"]),
        &[("<x><a>1</a><b>2</b></x>", json!({"a": 1, "b": "2"}))],
    );
    check_coerced(
        &of(["integer", "string"]),
        &[("<x><a>1</a><b>2</b></x>", json!({"a": "1", "b": "2"}))],
    );
}

#[test]
fn a_bare_number_is_put_into_no_text() {
    let one = |kind: &str| json!({"type": "object", "required": ["foo"], "properties": {"foo": {"type": kind}}});
    check_coerced(&one("integer"), &[("7", json!({"foo": 7}))]);
    check_rejected(
        &one("string"),
        &["7", "```json\n7\n```", "true", "The answer:\n```\n7\n```"],
    );
}
