#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a path would need a lifetime that a closure infers"
)]

use super::*;

fn with_root<T>(json: &str, read: impl FnOnce(Node<'_>) -> T) -> T {
    let text = JsonText::parse(json.as_bytes()).unwrap();
    read(text.root())
}

#[test]
fn the_last_of_two_equal_fields_counts_and_missing_ones_are_null() {
    with_root(r#"{"a": 1, "b": null, "a": {"x": [1.10, 2]}}"#, |root| {
        assert_eq!(root.get("a").get("x").json(), "[1.10, 2]");
        assert!(root.get("b").is_null() && root.get("c").is_null());
        assert!(root.members().has("b") && !root.members().has("c"));
        assert!(root.get("a").get("x").get("y").is_null());
    });
}

#[test]
fn counts_are_read_from_integers_floats_and_strings() {
    for (json, expected) in [
        ("12", Some(12)),
        ("12.9", Some(12)),
        ("\"12\"", Some(12)),
        ("18446744073709551615", Some(u64::MAX)),
        ("1e300", Some(u64::MAX)),
        ("-1", None),
        ("null", None),
        ("\"many\"", None),
        ("true", None),
        ("{}", None),
        ("[1]", None),
    ] {
        assert_eq!(with_root(json, |root| root.count()), expected, "{json}");
    }
}

#[test]
fn empty_errors_say_nothing() {
    for (json, expected) in [
        ("null", false),
        ("false", false),
        ("0", false),
        ("\" \"", false),
        ("{}", false),
        ("[]", false),
        (r#"{"message":"","type":"","param":"","code":null}"#, false),
        (r#"{"code":500}"#, true),
        ("\"down\"", true),
        ("[{}, {\"message\": \"x\"}]", true),
        ("true", true),
    ] {
        assert_eq!(
            with_root(json, |root| root.is_meaningful()),
            expected,
            "{json}"
        );
    }
}

#[test]
fn json_of_careless_servers_is_repaired() {
    for (json, expected) in [
        ("\u{feff}{\"a\": \"x\"}", "x"),
        (r#"{"a": "\ud83c"}"#, "\u{fffd}"),
        (r#"{"a": "\udf55 \ud83c\udf55"}"#, "\u{fffd} \u{1f355}"),
        (r#"{"a": "\ud83c\u0041"}"#, "\u{fffd}A"),
        (r#"{"a": "\\ud83c"}"#, "\\ud83c"),
        ("{\"a\": \"one\ntwo\tthree\"}", "one\ntwo\tthree"),
        (r#"{"logprobs": [NaN, -Infinity], "a": "NaN"}"#, "NaN"),
    ] {
        let found = with_root(json, |root| root.get("a").string().map(Cow::into_owned));
        assert_eq!(found.as_deref(), Some(expected), "{json}");
    }
    let latin = JsonText::parse(b"{\"a\": \"caf\xe9\"}").unwrap();
    assert_eq!(
        latin.root().get("a").string().as_deref(),
        Some("caf\u{fffd}")
    );
    for broken in [
        "",
        "{",
        "{\"a\": }",
        "[1] 2",
        "NaNa",
        "\"\\ud8\"x",
        "data: {}",
    ] {
        assert!(JsonText::parse(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn one_value_counts_as_a_list_of_itself() {
    let texts = |json: &str| {
        with_root(json, |root| {
            root.items()
                .into_iter()
                .map(|item| item.json().to_owned())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(texts("[1, \"a\"]"), ["1", "\"a\""]);
    assert_eq!(texts("{\"a\":1}"), ["{\"a\":1}"]);
    assert!(texts("null").is_empty() && texts("[]").is_empty());
}

#[test]
fn members_of_the_root_are_those_of_the_text_as_repaired() {
    for body in [
        &b"{\"a\": 1}"[..],
        b"\xef\xbb\xbf {\"a\": 0, \"a\": 1}\n",
        b"{\"a\": 1, \"b\": NaN}",
        b"{\"a\": 1, \"b\": \"\\ud800\"}",
        b"{\"a\": 1, \"b\": \"\xff\"}",
    ] {
        let text = JsonText::parse(body).unwrap();
        assert_eq!(text.members().get("a").count(), Some(1), "{body:?}");
        assert_eq!(text.root().get("a").count(), Some(1), "{body:?}");
    }
    for body in [&b"[{\"a\": 1}]"[..], b"\"a\"", b"null"] {
        assert!(JsonText::parse(body).unwrap().members().is_empty());
    }
    assert!(JsonText::parse(b"{\"a\": 1").is_err());
}

#[test]
fn each_member_is_visited_in_order_however_many_there_are() {
    let members = |json: &str| {
        let mut members = Vec::new();
        with_root(json, |root| {
            root.each_member(|name, value| members.push(format!("{name}={}", value.json())));
        });
        members
    };
    let found = members(r#"{"a" : 1.50, "\u0062": {"c": [ 1 ]}, "a": "\n"}"#);
    assert_eq!(found, ["a=1.50", r#"b={"c": [ 1 ]}"#, r#"a="\n""#]);
    assert!(members("[1]").is_empty() && members("{}").is_empty());
    let many = "\"a\":1,".repeat(2 * MAX_PARTS);
    assert_eq!(
        members(&format!("{{{many}\"b\":2}}")).len(),
        2 * MAX_PARTS + 1
    );
}

#[test]
fn lists_and_objects_beyond_any_use_are_not_taken_apart() {
    let list = |length: usize| format!("[0{}]", ",0".repeat(length - 1));
    for (length, taken) in [(MAX_PARTS, MAX_PARTS), (MAX_PARTS + 1, 0), (500_000, 0)] {
        let text = list(length);
        let node = JsonText::parse(text.as_bytes()).unwrap();
        assert_eq!(node.root().items().len(), taken);
        assert_eq!(node.root().first_items(3).len(), 3);
    }
    let members = (0..MAX_PARTS + 9).map(|name| format!("\"{name}\":{name}"));
    let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    let parsed = JsonText::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.members().0.len(), MAX_PARTS);
    assert_eq!(parsed.members().get("7").count(), Some(7));
}

#[test]
fn deep_nesting_overflows_no_stack() {
    let deep = "[".repeat(20_000) + &"]".repeat(20_000);
    let body = format!("{{\"error\":{deep}}}");
    let parsed = JsonText::parse(body.as_bytes()).unwrap();
    assert!(parsed.members().get("error").is_meaningful());
    let shallow = JsonText::parse(b"[[{\"a\":[[]]}]]").unwrap();
    assert!(!shallow.root().is_meaningful());
}
