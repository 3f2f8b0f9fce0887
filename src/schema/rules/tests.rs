//! The mapping to the contract's errors; the language is tested in `bounded_cel`.

use serde_json::json;

use super::*;
use crate::types::Code;

fn rule(expression: &str, message: &str) -> Rule {
    Rule {
        expression: expression.to_owned(),
        message: message.to_owned(),
    }
}

#[test]
fn a_compile_error_points_into_the_rules_of_the_request() {
    let pointer_of = |rules: Vec<Rule>| {
        let error = Rules::compile(rules).unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest);
        error.errors[0].pointer.clone()
    };
    assert_eq!(pointer_of(vec![rule("true", "m"); 101]), "/rules");
    assert_eq!(
        pointer_of(vec![rule("true", "m"), rule("data.a >", "m")]),
        "/rules/1/expression"
    );
    assert_eq!(pointer_of(vec![rule("true", " ")]), "/rules/0/message");
}

#[test]
fn a_violation_becomes_a_field_error() {
    let rules = Rules::compile(vec![rule("data.a > 1", "too small"); 50]).unwrap();
    let errors = rules.faults(&json!({"a": 1}), "");
    assert_eq!(errors.len(), MAX_FAULTS);
    let expected = FieldError::new("/a", "too small");
    assert_eq!(errors[0], expected);
    assert_eq!(rules.faults(&json!({"a": 2}), ""), []);
}
