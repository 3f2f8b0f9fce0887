//! What an answer is worth: read, raised to the caller's form, and held against the caller's schema.

use std::sync::Arc;

use serde_json::Value;

use crate::model::Fault;
use crate::provider::{Answer, Finish};
use crate::schema::{Lowered, Read, Schema, answer};

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Accepted {
        data: Value,
        repairs: Vec<String>,
    },
    /// Ask again with this.
    Wrong {
        faults: Vec<Fault>,
        candidate: Option<Value>,
    },
    /// It ran into its output limit; never mended into something shorter.
    Truncated,
    Refused(String),
}

/// An answer of more bytes is mended beside the runtime's workers, whatever its schema.
const QUICKLY_MENDED_BYTES: usize = 4096;

/// Judges an answer, which may be in the form that its mode takes; a large one beside the runtime's workers. `coerce`: whether it may
/// be mended toward the schema.
pub async fn judge(schema: &Arc<Schema>, lowered: Option<&Arc<Lowered>>, coerce: bool, answer: Answer) -> (Answer, Verdict) {
    let is_long = coerce && answer.text.len() > QUICKLY_MENDED_BYTES;
    if !is_long && !schema.is_slow_for(answer.text.len()) {
        let verdict = verdict(schema, lowered.map(AsRef::as_ref), coerce, &answer);
        return (answer, verdict);
    }
    let (schema, lowered) = (Arc::clone(schema), lowered.cloned());
    let text = answer.clone();
    let judged = tokio::task::spawn_blocking(move || {
        let verdict = verdict(&schema, lowered.as_deref(), coerce, &answer);
        (answer, verdict)
    });
    judged.await.unwrap_or_else(|_| (text, wrong("", "the answer could not be checked")))
}

fn verdict(schema: &Schema, lowered: Option<&Lowered>, coerce: bool, answer: &Answer) -> Verdict {
    let raised = |value: Value| match lowered {
        Some(lowered) => lowered.raised(value),
        None => value,
    };
    match &answer.finish {
        Finish::Refusal(words) => Verdict::Refused(words.clone()),
        Finish::Length => match answer::strict(&answer.text).map(raised) {
            // The limit came exactly at the end.
            Some(data) if schema.is_valid(&data) => Verdict::Accepted { data, repairs: Vec::new() },
            _ => Verdict::Truncated,
        },
        Finish::Stop => match schema.read(&answer.text, raised, coerce) {
            Err(none) => wrong("", &none.message),
            Ok(Read { value, repairs, faults }) if faults.is_empty() => Verdict::Accepted { data: value, repairs },
            Ok(Read { value, faults, .. }) => Verdict::Wrong { faults, candidate: Some(value) },
        },
    }
}

fn wrong(pointer: &str, message: &str) -> Verdict {
    let fault = Fault { pointer: pointer.to_owned(), message: message.to_owned() };
    Verdict::Wrong { faults: vec![fault], candidate: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Mode, Subset};
    use crate::provider::Left;

    fn judged(schema: &Value, text: &str, finish: Finish, wrapped: bool) -> Verdict {
        let schema = Schema::compile(&schema.to_string()).unwrap();
        let lowered = schema.lowered(if wrapped { &Subset::OBJECT } else { &Subset::WHOLE });
        let answer = Answer { text: text.to_owned(), finish, usage: None, mode: Mode::Text, left: Left::default() };
        verdict(&schema, lowered.as_ref(), true, &answer)
    }

    #[test]
    fn a_cut_off_list_is_never_taken_for_a_whole_one() {
        let list = json!({"type": "array", "items": {"type": "integer"}});
        assert_eq!(judged(&list, "[1, 2", Finish::Length, false), Verdict::Truncated);
        assert_eq!(judged(&list, "Here: [1] and [1, 2", Finish::Length, false), Verdict::Truncated);
        assert!(matches!(judged(&list, "[1, 2", Finish::Stop, false), Verdict::Wrong { .. }));
        assert!(matches!(judged(&list, "[1, 2]", Finish::Length, false), Verdict::Accepted { .. }));
    }

    #[test]
    fn a_wrapped_value_is_unwrapped_and_an_objects_own_value_is_not() {
        let list = json!({"type": "array"});
        let one = Verdict::Accepted { data: json!([1]), repairs: vec![] };
        assert_eq!(judged(&list, r#"{"value": [1]}"#, Finish::Stop, true), one);
        assert_eq!(judged(&list, "[1]", Finish::Stop, true), one);
        let object = json!({"type": "object", "required": ["value"]});
        let whole = Verdict::Accepted { data: json!({"value": 1}), repairs: vec![] };
        assert_eq!(judged(&object, r#"{"value": 1}"#, Finish::Stop, false), whole);
    }

    #[test]
    fn what_is_wrong_has_its_pointer_and_the_candidate() {
        let schema = json!({"properties": {"age": {"type": "integer"}}});
        let Verdict::Wrong { faults, candidate } = judged(&schema, r#"{"age": "x"}"#, Finish::Stop, false) else { panic!() };
        assert_eq!((faults[0].pointer.as_str(), candidate), ("/age", Some(json!({"age": "x"}))));
    }
}
