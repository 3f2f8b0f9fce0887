//! The language, rule by rule; and what is hostile.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod hostile;
mod language;

fn rules(expressions: &[&str]) -> Rules {
    let rule = |expression: &&str| Rule {
        expression: (*expression).to_owned(),
        message: "wrong".to_owned(),
    };
    Rules::compile(expressions.iter().map(rule).collect())
        .unwrap_or_else(|error| panic!("{expressions:?}: {error}"))
}

/// What a rule says of data: `Ok` for met, `Err` with its fault.
fn judged(expression: &str, data: &Value) -> Result<(), FieldError> {
    rules(&[expression])
        .faults(data, "Ada Byron, 36, tester")
        .pop()
        .map_or(Ok(()), Err)
}

#[track_caller]
fn holds(expression: &str, data: &Value) {
    assert_eq!(judged(expression, data), Ok(()), "{expression} of {data}");
}

#[track_caller]
fn fails(expression: &str, data: &Value) {
    let fault = judged(expression, data).expect_err(expression);
    assert_eq!(fault.message, "wrong", "{expression} of {data}");
}

/// Fails unless the rule cannot be evaluated, with these words.
#[track_caller]
fn breaks(expression: &str, data: &Value, words: &str) {
    let fault = judged(expression, data).expect_err(expression);
    assert!(
        fault.message.contains("cannot be evaluated") && fault.message.contains(words),
        "{expression}: {}",
        fault.message
    );
}

fn refused(expression: &str) -> Error {
    let rule = Rule {
        expression: expression.to_owned(),
        message: "wrong".to_owned(),
    };
    Rules::compile(vec![rule])
        .map(|_| ())
        .expect_err(expression)
}

#[test]
fn what_is_no_rule_is_refused_at_its_line_and_column() {
    for (expression, words, at) in [
        (
            "",
            "a value is expected here, not the end",
            "line 1, column 1",
        ),
        ("data.a >", "not the end", "line 1, column 9"),
        (
            "data.a >= start",
            "the variable `start` is not known; here are `data`, `input`",
            "line 1, column 11",
        ),
        (
            "data.a.all(x, y > 1)",
            "`data`, `input`, `x`",
            "line 1, column 15",
        ),
        (
            "true &&\n  siez(data) > 1",
            "the function `siez` is not known; known are size, contains",
            "line 2, column 3",
        ),
        (
            "data.a.size(1) > 1",
            "`size` takes 0 arguments, not 1",
            "line 1, column 8",
        ),
        (
            "contains(input, 'a')",
            "`contains` is called as `x.contains()`",
            "line 1, column 1",
        ),
        ("data.a = 1", "equality is `==`", "line 1, column 8"),
        ("data.é", "'é' has no meaning", "line 1, column 6"),
        ("'é' == data.a ~", "'~'", "line 1, column 15"),
        ("'abc", "this string has no end", "line 1, column 1"),
        (
            "input",
            "a rule has to be true or false, and this is a string",
            "line 1, column 1",
        ),
        (
            "data.a + 1",
            "true or false, and this is what `+` gives",
            "line 1, column 8",
        ),
        (
            "1 + 'a' == data.a",
            "there is no `int + string`",
            "line 1, column 3",
        ),
        ("!input", "there is no `! of string`", "line 1, column 1"),
        ("input && true", "`&& of string`", "line 1, column 7"),
        ("input.a == 1", "a field of string", "line 1, column 7"),
        (
            "input.all(c, c == 'a')",
            "a macro over string",
            "line 1, column 7",
        ),
        (
            "size(1) == 1",
            "there is no `size(int)`",
            "line 1, column 1",
        ),
        ("has(data)", "`has` takes a field", "line 1, column 1"),
        (
            "data.exists(1, true)",
            "the name of a variable",
            "line 1, column 13",
        ),
        (
            "input.matches('(')",
            "no regular expression",
            "line 1, column 15",
        ),
        ("input.matches('(?=a)')", "linear time", "line 1, column 15"),
        (
            "input.matches(data.a)",
            "has to be written as a string",
            "line 1, column 20",
        ),
        (
            "input.matches('(a|b|ab){3000}')",
            "too large",
            "line 1, column 15",
        ),
        (
            "9223372036854775808 > 1",
            "does not fit into 64 bits",
            "line 1, column 1",
        ),
        (
            "b'a' == data.a",
            "bytes are not supported",
            "line 1, column 1",
        ),
        (
            "true true",
            "is not expected after a whole expression",
            "line 1, column 6",
        ),
        (
            "(true",
            "`)` is expected here, not the end",
            "line 1, column 6",
        ),
        ("data.in == 1", "write `[\"in\"]`", "line 1, column 6"),
        ("type(data.a)", "this is a type", "line 1, column 1"),
    ] {
        let error = refused(expression);
        assert_eq!(
            error.errors[0].pointer, "/rules/0/expression",
            "{expression}"
        );
        assert!(
            error.detail.contains(words) && error.detail.contains(at),
            "{expression}: {}",
            error.detail
        );
    }
}

#[test]
fn what_is_too_much_is_refused_at_its_place() {
    let rule = |expression: &str, message: &str| Rule {
        expression: expression.to_owned(),
        message: message.to_owned(),
    };
    let at = |rules: Vec<Rule>| Rules::compile(rules).unwrap_err().errors[0].pointer.clone();
    assert_eq!(at(vec![rule("true", "m"); 101]), "/rules");
    assert_eq!(
        at(vec![rule("true", "m"), rule(&"(".repeat(5000), "m")]),
        "/rules/1/expression"
    );
    assert_eq!(
        at(vec![rule(&format!("true{}", " ".repeat(4000)), "m"); 17]),
        "/rules/16/expression"
    );
    assert_eq!(at(vec![rule("true", " ")]), "/rules/0/message");
    assert_eq!(at(vec![rule("true", &"m".repeat(501))]), "/rules/0/message");
    assert_eq!(
        at(vec![rule("input.matches('a')", "m"); 33]),
        "/rules/32/expression"
    );
    assert!(Rules::compile(vec![rule("true", "m"); 100]).is_ok());
}

#[test]
fn a_fault_is_at_the_place_that_the_rule_names() {
    let data = json!({"a": {"b": [1, 2], "c/d": 1}, "e": 1});
    for (expression, pointer) in [
        ("data.e > 1", "/e"),
        ("data.e > 1 && data.e < 9", "/e"),
        ("data.e > data.a.b[0]", ""),
        ("data.a.b[1] > 2 && data.a.b[1] > 3", "/a/b/1"),
        ("data.a.b[0] > data.a.b[1]", "/a/b"),
        ("data.a['c/d'] > 1", "/a/c~1d"),
        ("data.a.b.all(n, n > 9)", "/a/b"),
        ("data.a.b.size() > 9 || input.contains('x')", "/a/b"),
        ("has(data.a.gone)", "/a"),
        ("data.gone > 1", ""),
        ("size(data) > 9", ""),
        ("input.contains('x')", ""),
    ] {
        assert_eq!(
            judged(expression, &data).expect_err(expression).pointer,
            pointer,
            "{expression}"
        );
    }
}

#[test]
fn a_broken_rule_says_what_it_means_and_why_it_cannot_be_evaluated() {
    let broken = Rule {
        expression: "data.end >= data.start".to_owned(),
        message: "the end is before the start".to_owned(),
    };
    let rules = Rules::compile(vec![broken]).unwrap();
    let said = |data: Value| rules.faults(&data, "").pop().map(|fault| fault.message);
    assert_eq!(said(json!({"start": 1, "end": 2})), None);
    assert_eq!(
        said(json!({"start": 3, "end": 2})).unwrap(),
        "the end is before the start"
    );
    let absent = said(json!({"start": 3})).unwrap();
    assert_eq!(
        absent,
        "the end is before the start (the rule `data.end >= data.start` cannot be evaluated: the field `end` is not there; \
         `has(…)` tells whether it is)"
    );
    assert!(
        said(json!({"start": 3, "end": null}))
            .unwrap()
            .ends_with("there is no `null_type >= int`)")
    );
    let many = Rules::compile(vec![
        Rule {
            expression: "false".to_owned(),
            message: "no".to_owned()
        };
        50
    ])
    .unwrap();
    assert_eq!(many.faults(&json!(1), "").len(), 20);
}
