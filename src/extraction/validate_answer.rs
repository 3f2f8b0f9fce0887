//! What an answer is worth: read, raised to the caller's form, and held against the caller's schema.

use std::sync::Arc;

use llm_json::answer;
use serde_json::Value;

use crate::provider::{Answer, Finish};
use crate::schema::{Lowered, ParsedAnswer, Rules, Schema};
use crate::types::FieldError;

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Accepted {
        data: Value,
        repairs: Vec<String>,
    },
    /// Ask again with this.
    Invalid {
        faults: Vec<FieldError>,
        candidate: Option<Value>,
    },
    /// It ran into its output limit; never mended into something shorter.
    Truncated,
    Refusal(String),
}

/// An answer of more bytes is mended beside the runtime's workers, whatever its schema.
const QUICKLY_MENDED_BYTES: usize = 4096;

/// What an answer is held against.
#[derive(Debug, Clone, Copy)]
pub struct ValidationInput<'a> {
    pub schema: &'a Arc<Schema>,
    pub rules: &'a Arc<Rules>,
    /// The form in which the answer is, if it is not the schema's own.
    pub lowered: Option<&'a Arc<Lowered>>,
    /// Whether it may be mended toward the schema.
    pub coerce: bool,
    /// No other attempt follows: an answer that the model itself ended within its JSON is taken as it is, if it is valid.
    pub is_last: bool,
    /// What it was extracted from.
    pub input: &'a str,
}

impl ValidationInput<'_> {
    /// Whether judging an answer of this many bytes may keep a thread busy.
    fn is_slow_for(&self, bytes: usize) -> bool {
        self.schema.is_slow_for(bytes)
            || self.rules.is_slow_for(bytes, self.input.len())
            || self.coerce && bytes > QUICKLY_MENDED_BYTES
    }
}

/// Judges an answer; a large one beside the runtime's workers.
pub async fn validate(held: ValidationInput<'_>, answer: Answer) -> (Answer, Verdict) {
    if !held.is_slow_for(answer.text.len()) {
        let verdict = verdict(held, &answer);
        return (answer, verdict);
    }
    let (schema, rules, lowered) = (
        Arc::clone(held.schema),
        Arc::clone(held.rules),
        held.lowered.cloned(),
    );
    let (coerce, is_last) = (held.coerce, held.is_last);
    let input = if rules.is_empty() {
        String::new()
    } else {
        held.input.to_owned()
    };
    let text = answer.clone();
    let judged = tokio::task::spawn_blocking(move || {
        let held = ValidationInput {
            schema: &schema,
            rules: &rules,
            lowered: lowered.as_ref(),
            coerce,
            is_last,
            input: &input,
        };
        let verdict = verdict(held, &answer);
        (answer, verdict)
    });
    judged.await.unwrap_or_else(|_| {
        (
            text,
            invalid_with_message("the answer could not be checked"),
        )
    })
}

fn verdict(held: ValidationInput<'_>, answer: &Answer) -> Verdict {
    let schema = held.schema;
    let raised = |value: Value| match held.lowered {
        Some(lowered) => schema.raised(lowered, value),
        None => value,
    };
    match &answer.finish {
        Finish::Refusal(words) => Verdict::Refusal(words.clone()),
        Finish::Length => match answer::strict(&answer.text).map(raised) {
            // The limit came exactly at the end.
            Some(data) if schema.is_valid(&data) => apply_rules(held, data, Vec::new()),
            _ => Verdict::Truncated,
        },
        finish => match schema.read(&answer.text, raised, held.coerce) {
            Err(none) => invalid_with_message(&none.message),
            Ok(ParsedAnswer { value, faults, .. }) if !faults.is_empty() => Verdict::Invalid {
                faults,
                candidate: Some(value),
            },
            Ok(ParsedAnswer {
                value,
                repairs,
                left_open: None,
                ..
            }) => apply_rules(held, value, repairs),
            // Another attempt may write it whole.
            Ok(ParsedAnswer { value, repairs, .. }) if held.is_last && *finish == Finish::Stop => {
                apply_rules(held, value, repairs)
            }
            Ok(ParsedAnswer {
                value,
                left_open: Some(message),
                ..
            }) => Verdict::Invalid {
                faults: vec![error_at_root(message)],
                candidate: Some(value),
            },
        },
    }
}

/// What becomes of an object that is valid against the schema.
fn apply_rules(held: ValidationInput<'_>, data: Value, repairs: Vec<String>) -> Verdict {
    let faults = held.rules.faults(&data, held.input);
    if faults.is_empty() {
        Verdict::Accepted { data, repairs }
    } else {
        Verdict::Invalid {
            faults,
            candidate: Some(data),
        }
    }
}

fn invalid_with_message(message: &str) -> Verdict {
    Verdict::Invalid {
        faults: vec![error_at_root(message.to_owned())],
        candidate: None,
    }
}

/// A fault of the answer as a whole.
fn error_at_root(message: String) -> FieldError {
    FieldError {
        pointer: String::new(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use llm_json::answer::Repair;

    use super::*;
    use crate::provider::RemainingQuota;
    use crate::types::{Dialect, Mode, Rule};

    fn judged(schema: &Value, text: &str, finish: Finish, wrapped: bool) -> Verdict {
        judged_by_rules(schema, &[], text, finish, wrapped)
    }

    fn judged_by_rules(
        schema: &Value,
        rules: &[(&str, &str)],
        text: &str,
        finish: Finish,
        wrapped: bool,
    ) -> Verdict {
        judged_at(false, schema, rules, text, finish, wrapped)
    }

    fn judged_at(
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
            left: RemainingQuota::default(),
        };
        let held = ValidationInput {
            schema: &schema,
            rules: &rules,
            lowered: lowered.as_ref(),
            coerce: true,
            is_last,
            input: "a text",
        };
        verdict(held, &answer)
    }

    #[test]
    fn a_rule_is_asked_once_the_schema_holds_of_the_callers_own_form() {
        let list = json!({"type": "array", "items": {"type": "integer"}});
        let rules = [("data.all(n, n > 0)", "each is positive")];
        let judge = |text: &str, finish| judged_by_rules(&list, &rules, text, finish, true);
        let fault = |message: &str| {
            vec![FieldError {
                pointer: String::new(),
                message: message.to_owned(),
            }]
        };
        let broken = Verdict::Invalid {
            faults: fault("each is positive"),
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
        let Verdict::Invalid { faults, .. } = judge(r#"{"value": [0, "x"]}"#, Finish::Stop) else {
            panic!()
        };
        assert_eq!(faults.len(), 1, "the schema's alone: {faults:?}");
    }

    #[test]
    fn a_cut_off_list_is_never_taken_for_a_whole_one() {
        let list = json!({"type": "array", "items": {"type": "integer"}});
        assert_eq!(
            judged(&list, "[1, 2", Finish::Length, false),
            Verdict::Truncated
        );
        assert_eq!(
            judged(&list, "Here: [1] and [1, 2", Finish::Length, false),
            Verdict::Truncated
        );
        assert!(matches!(
            judged(&list, "[1, 2", Finish::Stop, false),
            Verdict::Invalid { .. }
        ));
        assert!(matches!(
            judged(&list, "[1, 2]", Finish::Length, false),
            Verdict::Accepted { .. }
        ));
    }

    #[test]
    fn a_list_that_the_model_itself_left_open_is_taken_once_it_will_not_be_asked_again() {
        let list = json!({"type": "array", "items": {"type": "integer"}});
        let positive = [("data.all(n, n > 0)", "each is positive")];
        let judge =
            |is_last, text: &str, finish| judged_at(is_last, &list, &positive, text, finish, false);
        let Verdict::Invalid { faults, candidate } = judge(false, "[1, 2", Finish::Stop) else {
            panic!()
        };
        assert!(faults[0].message.contains("is not closed"), "{faults:?}");
        assert_eq!(candidate, Some(json!([1, 2])));
        let repairs = vec![Repair::ClosedAtEnd.to_string()];
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
    fn a_wrapped_value_is_unwrapped_and_an_objects_own_value_is_not() {
        let list = json!({"type": "array"});
        let one = Verdict::Accepted {
            data: json!([1]),
            repairs: vec![],
        };
        assert_eq!(judged(&list, r#"{"value": [1]}"#, Finish::Stop, true), one);
        assert_eq!(judged(&list, "[1]", Finish::Stop, true), one);
        let object = json!({"type": "object", "required": ["value"]});
        let whole = Verdict::Accepted {
            data: json!({"value": 1}),
            repairs: vec![],
        };
        assert_eq!(
            judged(&object, r#"{"value": 1}"#, Finish::Stop, false),
            whole
        );
    }

    #[test]
    fn what_is_wrong_has_its_pointer_and_the_candidate() {
        let schema = json!({"properties": {"age": {"type": "integer"}}});
        let Verdict::Invalid { faults, candidate } =
            judged(&schema, r#"{"age": "x"}"#, Finish::Stop, false)
        else {
            panic!()
        };
        assert_eq!(
            (faults[0].pointer.as_str(), candidate),
            ("/age", Some(json!({"age": "x"})))
        );
    }
}
