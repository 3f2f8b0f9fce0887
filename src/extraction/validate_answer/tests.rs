use serde_json::json;

use super::*;
use crate::provider::RemainingQuota;
use crate::types::{Dialect, Mode, OffsetUnit, Rule};

fn verdict_of(schema: &Value, text: &str, finish: Finish, wrapped: bool) -> Verdict {
    verdict_with_rules(schema, &[], text, finish, wrapped)
}

fn verdict_with_rules(
    schema: &Value,
    rules: &[(&str, &str)],
    text: &str,
    finish: Finish,
    wrapped: bool,
) -> Verdict {
    verdict_at(false, schema, rules, text, finish, wrapped)
}

fn verdict_at(
    is_last: bool,
    schema: &Value,
    rules: &[(&str, &str)],
    text: &str,
    finish: Finish,
    wrapped: bool,
) -> Verdict {
    let schema = Arc::new(Schema::compile(&schema.to_string()).unwrap());
    let lowered = schema
        .lowered(if wrapped {
            &Dialect::OBJECT
        } else {
            &Dialect::WHOLE
        })
        .map(Arc::new);
    let rule = |(expression, message): &(&str, &str)| Rule {
        expression: (*expression).into(),
        message: (*message).into(),
    };
    let rules = Arc::new(Rules::compile(rules.iter().map(rule).collect()).unwrap());
    let answer = Answer {
        text: text.to_owned(),
        finish,
        usage: None,
        mode: Mode::Text,
        remaining_quota: RemainingQuota::default(),
        is_parsed: false,
        remark: None,
    };
    let input = ValidationInput {
        schema: &schema,
        rules: &rules,
        lowered: lowered.as_ref(),
        coerce: true,
        is_last,
        example_values: &Arc::default(),
        allows_copied_values: false,
        grounding: &Arc::new(GroundingSettings::new(
            Grounding::Off,
            OffsetUnit::CodePoint,
            &[],
        )),
        text: "a text",
        caller: CallerId::default(),
    };
    verdict(input, &answer)
}

#[test]
fn rules_are_evaluated_on_the_lifted_answer_after_schema_validation() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let rules = [("data.all(n, n > 0)", "each is positive")];
    let judge = |text: &str, finish| verdict_with_rules(&list, &rules, text, finish, true);
    let root_error = |message: &str| vec![FieldError::new("", message)];
    let broken = Verdict::Invalid {
        errors: root_error("each is positive"),
        candidate: Some(json!([1, 0])),
    };
    assert_eq!(judge(r#"{"value": [1, 0]}"#, Finish::Stop), broken);
    assert_eq!(judge(r#"{"value": [1, 0]}"#, Finish::Length), broken);
    assert_eq!(
        judge(r#"{"value": [1]}"#, Finish::Stop),
        Verdict::Accepted {
            data: json!([1]),
            repairs: vec![]
        }
    );
    let Verdict::Invalid { errors, .. } = judge(r#"{"value": [0, "x"]}"#, Finish::Stop) else {
        panic!()
    };
    assert_eq!(errors.len(), 1, "the schema's alone: {errors:?}");
}

#[test]
fn a_truncated_list_is_never_accepted_as_complete() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    assert_eq!(
        verdict_of(&list, "[1, 2", Finish::Length, false),
        Verdict::Truncated
    );
    assert_eq!(
        verdict_of(&list, "Here: [1] and [1, 2", Finish::Length, false),
        Verdict::Truncated
    );
    assert!(matches!(
        verdict_of(&list, "[1, 2", Finish::Stop, false),
        Verdict::Invalid { .. }
    ));
    assert!(matches!(
        verdict_of(&list, "[1, 2]", Finish::Length, false),
        Verdict::Accepted { .. }
    ));
}

#[test]
fn a_list_that_the_model_left_unclosed_is_accepted_only_in_the_last_attempt() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let positive = [("data.all(n, n > 0)", "each is positive")];
    let judge =
        |is_last, text: &str, finish| verdict_at(is_last, &list, &positive, text, finish, false);
    let Verdict::Invalid { errors, candidate } = judge(false, "[1, 2", Finish::Stop) else {
        panic!()
    };
    assert!(errors[0].message.contains("is not closed"), "{errors:?}");
    assert_eq!(candidate, Some(json!([1, 2])));
    let repairs = vec![llm_json::answer::Repair::ClosedAtEnd.to_string()];
    assert_eq!(
        judge(true, "[1, 2", Finish::Stop),
        Verdict::Accepted {
            data: json!([1, 2]),
            repairs
        }
    );
    assert!(
        matches!(
            judge(true, "[1, 2", Finish::Unknown),
            Verdict::Invalid { .. }
        ),
        "it may have been cut"
    );
    assert!(
        matches!(judge(true, "[1, 0", Finish::Stop), Verdict::Invalid { .. }),
        "a rule is broken"
    );
    assert!(
        matches!(
            judge(true, "[1, \"x", Finish::Stop),
            Verdict::Invalid { .. }
        ),
        "it is not valid"
    );
    assert_eq!(judge(true, "[1, 2", Finish::Length), Verdict::Truncated);
}

#[test]
fn a_wrapped_value_is_unwrapped_and_an_objects_own_member_value_is_not() {
    let list = json!({"type": "array"});
    let one = Verdict::Accepted {
        data: json!([1]),
        repairs: vec![],
    };
    assert_eq!(
        verdict_of(&list, r#"{"value": [1]}"#, Finish::Stop, true),
        one
    );
    assert_eq!(verdict_of(&list, "[1]", Finish::Stop, true), one);
    let object = json!({"type": "object", "required": ["value"]});
    let whole = Verdict::Accepted {
        data: json!({"value": 1}),
        repairs: vec![],
    };
    assert_eq!(
        verdict_of(&object, r#"{"value": 1}"#, Finish::Stop, false),
        whole
    );
}

#[test]
fn an_invalid_answer_has_error_pointers_and_a_candidate() {
    let schema = json!({"properties": {"age": {"type": "integer"}}});
    let Verdict::Invalid { errors, candidate } =
        verdict_of(&schema, r#"{"age": "x"}"#, Finish::Stop, false)
    else {
        panic!()
    };
    assert_eq!(
        (&*errors[0].pointer, candidate),
        ("/age", Some(json!({"age": "x"})))
    );
}

#[test]
fn parsed_values_prove_nothing_when_the_answer_was_truncated() {
    let schema = Arc::new(Schema::compile(r#"{"type": "object"}"#).unwrap());
    let rules = Arc::new(Rules::default());
    let judge = |is_parsed, finish, remark| {
        let answer = Answer {
            text: "{\"a\": 1}".to_owned(),
            finish,
            usage: None,
            mode: Mode::Tools,
            remaining_quota: RemainingQuota::default(),
            is_parsed,
            remark,
        };
        let input = ValidationInput {
            schema: &schema,
            rules: &rules,
            lowered: None,
            coerce: true,
            is_last: true,
            example_values: &Arc::default(),
            allows_copied_values: false,
            grounding: &Arc::new(GroundingSettings::new(
                Grounding::Off,
                OffsetUnit::CodePoint,
                &[],
            )),
            text: "a text",
            caller: CallerId::default(),
        };
        verdict(input, &answer)
    };
    let accepted = |repairs: &[&str]| Verdict::Accepted {
        data: json!({"a": 1}),
        repairs: repairs.iter().map(|&repair| repair.to_owned()).collect(),
    };
    assert_eq!(judge(true, Finish::Length, None), Verdict::Truncated);
    assert_eq!(judge(false, Finish::Length, None), accepted(&[]));
    assert_eq!(
        judge(true, Finish::Stop, Some("found elsewhere")),
        accepted(&["found elsewhere"])
    );
    let invalid = judge(
        true,
        Finish::Invalid("the call is malformed".to_owned()),
        None,
    );
    assert!(
        matches!(invalid, Verdict::Invalid { errors, candidate: None } if errors[0].message == "the call is malformed")
    );
}
