//! Validation rules in CEL: compiling untrusted expressions and evaluating them over untrusted data.

use serde_json::{Value, json};

use super::{check_message, check_pointers, strict_json};
use extractd::schema::Rules;
use extractd::types::{Code, Rule};

/// Compiles the bytes before the first NUL as a rule, and evaluates it over the JSON after it and over fixed values.
pub fn rules(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let expression = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let rule = Rule {
        expression,
        message: "wrong".to_owned(),
    };
    let sent = json!({"rules": [{"expression": rule.expression, "message": rule.message}]});
    let rules = match Rules::compile(vec![rule]) {
        Ok(rules) => rules,
        Err(error) => {
            assert_eq!(error.code, Code::InvalidRequest, "{error:?}");
            return check_pointers(&error, Some(&sent));
        }
    };
    let given = parts.next().and_then(strict_json);
    let some = [
        json!(null),
        json!(-1.5),
        json!("a"),
        json!({"a": {"a": [1, "b"]}, "b": ""}),
        json!([1, [2, {"a": 3}]]),
    ];
    given
        .into_iter()
        .chain(some)
        .for_each(|data| check(&rules, &data));
}

fn check(rules: &Rules, data: &Value) {
    let faults = rules.faults(data, "a text");
    assert!(faults.len() <= 1, "{faults:?}");
    assert_eq!(faults, rules.faults(data, "a text"));
    for fault in &faults {
        check_message(&fault.message);
        assert!(
            data.pointer(&fault.pointer).is_some(),
            "{fault:?} points to nothing"
        );
    }
}
