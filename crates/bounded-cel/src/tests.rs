//! Compiling and evaluating rules: errors, locations, the language, and adversarial input.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Budget, CompileError, Rule, Rules, Violation};

mod hostile;
mod language;

/// Maximum number of violations that the tests ask for.
const MAX: usize = 20;

fn rules(expressions: &[&str]) -> Rules {
    let rule = |expression: &&str| Rule {
        expression: (*expression).to_owned(),
        message: "wrong".to_owned(),
    };
    Rules::compile(expressions.iter().map(rule).collect())
        .unwrap_or_else(|error| panic!("{expressions:?}: {error}"))
}

/// Evaluates one rule: `Ok` if the data meets it, else its violation.
fn evaluate(expression: &str, data: &Value) -> Result<(), Violation> {
    rules(&[expression])
        .violations(data, "Ada Byron, 36, tester", MAX)
        .pop()
        .map_or(Ok(()), Err)
}

#[track_caller]
fn holds(expression: &str, data: &Value) {
    assert_eq!(evaluate(expression, data), Ok(()), "{expression} of {data}");
}

#[track_caller]
fn fails(expression: &str, data: &Value) {
    let violation = evaluate(expression, data).expect_err(expression);
    assert_eq!(violation.message, "wrong", "{expression} of {data}");
}

/// Asserts that the rule cannot be evaluated and that the reason contains `expected`.
#[track_caller]
fn breaks(expression: &str, data: &Value, expected: &str) {
    let violation = evaluate(expression, data).expect_err(expression);
    assert!(
        violation.message.contains("cannot be evaluated") && violation.message.contains(expected),
        "{expression}: {}",
        violation.message
    );
}

fn compile_error(expression: &str) -> CompileError {
    let rule = Rule {
        expression: expression.to_owned(),
        message: "wrong".to_owned(),
    };
    Rules::compile(vec![rule])
        .map(|_| ())
        .expect_err(expression)
}

#[test]
fn an_invalid_expression_is_rejected_with_line_and_column() {
    for (expression, message, position) in [
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
        ("data.a & true", "and is `&&`", "line 1, column 8"),
        ("data.a | true", "or is `||`", "line 1, column 8"),
        ("data.é", "'é' has no meaning", "line 1, column 6"),
        ("'é' == data.a ~", "'~'", "line 1, column 15"),
        ("'abc", "this string has no end", "line 1, column 1"),
        (
            "data.a ==\n 'abc\n'",
            "this string has no end on its line; three quotes allow line breaks",
            "line 2, column 2",
        ),
        (
            "input",
            "a rule has to be true or false, and this is a string",
            "line 1, column 1",
        ),
        (
            "data.a + 1",
            "true or false, and this is the result of `+`",
            "line 1, column 8",
        ),
        // The result of an int and a uint is the one it fits into.
        (
            "1 + 2u",
            "true or false, and this is the result of `+`",
            "line 1, column 3",
        ),
        (
            "1 + 'a' == data.a",
            "there is no `int + string`",
            "line 1, column 3",
        ),
        ("!input", "there is no `! of string`", "line 1, column 1"),
        ("input && true", "`&& of string`", "line 1, column 7"),
        ("input.a == 1", "a field of string", "line 1, column 7"),
        ("[1].a == 1", "a field of list", "line 1, column 5"),
        (
            "input['a'] == 1",
            "there is no `string[…]`",
            "line 1, column 6",
        ),
        (
            "1 .matches('a')",
            "there is no `int.matches(string)`",
            "line 1, column 4",
        ),
        (
            "has(data.a) > 1",
            "there is no `bool > int`",
            "line 1, column 13",
        ),
        (
            "input.matches('a') > 1",
            "there is no `bool > int`",
            "line 1, column 20",
        ),
        (
            "1 + 2 + 'a' == data.a",
            "there is no `int + string`",
            "line 1, column 7",
        ),
        (
            "input.all(c, c == 'a')",
            "a macro over string",
            "line 1, column 7",
        ),
        (
            "data.all(x, 'a')",
            "there is no `a macro's condition of string`",
            "line 1, column 6",
        ),
        (
            "data.map(x, 1, x) == []",
            "there is no `a macro's condition of int`",
            "line 1, column 6",
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
            "data.all(null, true)",
            "`all` takes the name of a variable first",
            "line 1, column 10",
        ),
        (
            "data.map(while, true)",
            "`map` takes the name of a variable first",
            "line 1, column 10",
        ),
        (
            "data.filter(x, x > 1, x)",
            "`filter` takes the name of a variable and an expression",
            "line 1, column 6",
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
            "1 > -9223372036854775809",
            "does not fit into 64 bits",
            "line 1, column 5",
        ),
        (
            "1 > - -  9223372036854775809",
            "does not fit into 64 bits",
            "line 1, column 7",
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
        ("data ? 1 : 2", "this is a int", "line 1, column 6"),
        ("-input > 1", "there is no `-string`", "line 1, column 1"),
        (
            "input ? data.a : data.b",
            "there is no `? of string`",
            "line 1, column 7",
        ),
        (
            "true || 'a'",
            "there is no `|| of string`",
            "line 1, column 6",
        ),
    ] {
        let error = compile_error(expression);
        assert_eq!(error.location.pointer(), "/0/expression", "{expression}");
        assert!(
            error.message.contains(message) && error.message.contains(position),
            "{expression}: {}",
            error.message
        );
    }
}

#[test]
fn a_size_limit_error_names_the_rule_and_the_field() {
    let rule = |expression: &str, message: &str| Rule {
        expression: expression.to_owned(),
        message: message.to_owned(),
    };
    let pointer_of = |rules: Vec<Rule>| Rules::compile(rules).unwrap_err().location.pointer();
    assert_eq!(pointer_of(vec![rule("true", "m"); 101]), "");
    assert_eq!(
        pointer_of(vec![rule("true", "m"), rule(&"(".repeat(5000), "m")]),
        "/1/expression"
    );
    assert_eq!(
        pointer_of(vec![rule(&format!("true{}", " ".repeat(4000)), "m"); 17]),
        "/16/expression"
    );
    assert_eq!(pointer_of(vec![rule("true", " ")]), "/0/message");
    assert_eq!(
        pointer_of(vec![rule("true", &"m".repeat(501))]),
        "/0/message"
    );
    assert_eq!(
        pointer_of(vec![rule("input.matches('a')", "m"); 33]),
        "/32/expression"
    );
    let padded = |bytes: usize| format!("true{}", " ".repeat(bytes - 4));
    let error = Rules::compile(vec![rule(&padded(4097), "m")]).unwrap_err();
    assert_eq!(error.message, "is longer than 4096 bytes");
    let mut largest = vec![rule(&padded(4096), &"m".repeat(500)); 16];
    assert!(Rules::compile(largest.clone()).is_ok());
    largest.push(rule("1 < 2", "m"));
    let error = Rules::compile(largest).unwrap_err();
    assert!(
        error.message.ends_with("65536 bytes together"),
        "{}",
        error.message
    );
    assert_eq!(error.location.pointer(), "/16/expression");
    assert!(Rules::compile(vec![rule("true", "m"); 100]).is_ok());
}

#[test]
fn a_violation_points_to_the_data_that_the_rule_names() {
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
            evaluate(expression, &data).expect_err(expression).pointer,
            pointer,
            "{expression}"
        );
    }
}

#[test]
fn a_violation_has_the_message_and_the_reason_of_a_failed_evaluation() {
    let rule = Rule {
        expression: "data.end >= data.start".to_owned(),
        message: "the end is before the start".to_owned(),
    };
    let rules = Rules::compile(vec![rule]).unwrap();
    let message_of = |data: Value| {
        rules
            .violations(&data, "", MAX)
            .pop()
            .map(|violation| violation.message)
    };
    assert_eq!(message_of(json!({"start": 1, "end": 2})), None);
    assert_eq!(
        message_of(json!({"start": 3, "end": 2})).unwrap(),
        "the end is before the start"
    );
    let absent = message_of(json!({"start": 3})).unwrap();
    assert_eq!(
        absent,
        "the end is before the start (the rule `data.end >= data.start` cannot be evaluated: the field `end` is not there; \
         `has(…)` tells whether it is)"
    );
    assert!(
        message_of(json!({"start": 3, "end": null}))
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
    assert_eq!(many.violations(&json!(1), "", MAX).len(), MAX);
}

#[test]
fn a_compiled_rule_shows_its_functions_for_debugging() {
    let shown = format!("{:?}", rules(&["data.size() > 1"]));
    assert!(shown.contains("Call(size, ["), "{shown}");
}

#[test]
fn patterns_and_long_expressions_are_slow_to_compile() {
    let is_slow = |expressions: &[&str]| {
        let rule = |expression: &&str| Rule {
            expression: (*expression).to_owned(),
            message: "wrong".to_owned(),
        };
        let rules: Vec<_> = expressions.iter().map(rule).collect();
        Rules::is_slow_to_compile(&rules)
    };
    assert!(!is_slow(&[]) && !is_slow(&["data.a > 1", "data.b"]));
    assert!(is_slow(&["data.a > 1", "data.b.matches('a+')"]));
    let half = format!("data.a == '{}'", "x".repeat(4096 - 12));
    assert_eq!(half.len(), 4096);
    assert!(!is_slow(&[&half, &half]) && is_slow(&[&half, &half, "1"]));
}
