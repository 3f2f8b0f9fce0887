//! Validation of an answer: parses it, lifts it from the provider's dialect, and checks it against the client's schema and rules.

use std::sync::Arc;

use llm_json::answer;
use serde_json::Value;

use super::copied_values::ExampleValues;
use super::grounding::{Grounder, GroundingSettings};
use crate::long_work::{Piece, run_long};
use crate::provider::{Answer, Finish};
use crate::schema::{Evaluations, Lowered, ParsedAnswer, Rules, Schema};
use crate::types::{ErrorMessage, FieldError, Grounding};
use throttle::CallerId;

/// Result of validating an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Accepted {
        data: Value,
        repairs: Vec<String>,
    },
    /// The errors are the feedback of the validation retry.
    Invalid {
        errors: Vec<FieldError>,
        candidate: Option<Value>,
    },
    /// The answer reached its output limit. It is never repaired into something shorter.
    Truncated,
    /// The model declined, with its reason.
    Refusal(String),
}

/// Schema, rules and settings to validate an answer with.
#[derive(Debug, Clone, Copy)]
pub struct ValidationInput<'a> {
    pub schema: &'a Schema,
    pub rules: &'a Rules,
    /// Lowered schema that the answer follows; `None`: the client's schema itself.
    pub lowered: Option<&'a Arc<Lowered>>,
    /// True if the answer may be coerced toward the schema.
    pub coerce: bool,
    /// True if no other attempt follows: JSON that the model itself left unclosed is then accepted, if it is valid.
    pub is_last: bool,
    /// Values of the prompt's examples, which must not be taken for the text's.
    pub example_values: &'a ExampleValues,
    /// True if such a value is no error.
    pub allows_copied_values: bool,
    pub grounding: &'a GroundingSettings,
    /// Text of the input.
    pub text: &'a str,
    /// Caller on whose behalf it is done.
    pub caller: CallerId,
}

impl ValidationInput<'_> {
    /// Returns what looks for the evidence that the request requires; `None` if it requires none.
    fn grounder(&self) -> Option<Grounder<'_>> {
        (self.grounding.mode == Grounding::Require).then_some(Grounder {
            schema: self.schema,
            rules: self.rules,
            settings: self.grounding,
            text: self.text,
        })
    }

    /// Returns the size of the text that an answer is compared with, in bytes: 0 if nothing is looked for in it.
    fn text_bytes(&self) -> usize {
        let needs_text =
            !self.rules.is_empty() || !self.example_values.is_empty() || self.grounder().is_some();
        if needs_text { self.text.len() } else { 0 }
    }

    /// Returns true if validating an answer with this text may keep a thread busy.
    fn is_slow_for(&self, answer: &str) -> bool {
        let bytes = answer.len();
        self.schema.is_slow_for(bytes)
            || self.rules.is_slow_for(bytes, self.text.len())
            || self.example_values.is_slow_for(bytes, self.text.len())
            || self.coerce && self.schema.is_slow_to_coerce(bytes)
            || self
                .grounder()
                .is_some_and(|grounder| grounder.is_slow_for(answer))
    }
}

/// Validates an answer; what may take long is long work of the caller, as by [`run_long`].
pub async fn validate(input: ValidationInput<'_>, answer: &Answer) -> Verdict {
    let piece = input.is_slow_for(&answer.text).then(|| Piece {
        caller: input.caller,
        bytes: answer.text.len() + input.text_bytes(),
    });
    run_long(piece, || verdict(input, answer)).await
}

fn verdict(input: ValidationInput<'_>, answer: &Answer) -> Verdict {
    let mut verdict = verdict_on_text(input, answer);
    if let (Verdict::Accepted { repairs, .. }, Some(remark)) = (&mut verdict, answer.remark) {
        repairs.insert(0, remark.to_owned());
    }
    verdict
}

fn verdict_on_text(input: ValidationInput<'_>, answer: &Answer) -> Verdict {
    let schema = input.schema;
    let evaluations = Evaluations::of_answer();
    let lift = |value: Value| match input.lowered {
        Some(lowered) => schema.raised_within(lowered, value, &evaluations),
        None => value,
    };
    match &answer.finish {
        Finish::Refusal(reason) => Verdict::Refusal(reason.clone()),
        Finish::Invalid(reason) => invalid_with_message(reason),
        // The provider closed what the model left open.
        Finish::Length if answer.is_parsed => Verdict::Truncated,
        Finish::Length => match answer::strict(&answer.text).map(lift) {
            // The answer ended exactly at the limit.
            Some(data) if schema.is_valid_within(&data, &evaluations) => {
                apply_rules(input, data, Vec::new())
            }
            _ => Verdict::Truncated,
        },
        finish => {
            match schema.parse_answer_within(&answer.text, lift, input.coerce, &evaluations) {
                Err(no_json) => invalid_with_message(&no_json.message),
                Ok(ParsedAnswer { value, faults, .. }) if !faults.is_empty() => Verdict::Invalid {
                    errors: faults,
                    candidate: Some(value),
                },
                Ok(ParsedAnswer {
                    value,
                    repairs,
                    left_open: None,
                    ..
                }) => apply_rules(input, value, repairs),
                // Without the last attempt's exception, unclosed JSON is invalid: a validation retry may complete it.
                Ok(ParsedAnswer { value, repairs, .. })
                    if input.is_last && *finish == Finish::Stop =>
                {
                    apply_rules(input, value, repairs)
                }
                Ok(ParsedAnswer {
                    value,
                    left_open: Some(message),
                    ..
                }) => Verdict::Invalid {
                    errors: vec![error_at_root(message)],
                    candidate: Some(value),
                },
            }
        }
    }
}

/// Returns the verdict on an object that is valid against the schema.
fn apply_rules(input: ValidationInput<'_>, data: Value, repairs: Vec<String>) -> Verdict {
    let mut errors = if input.allows_copied_values {
        Vec::new()
    } else {
        input.example_values.copied(input.schema, &data, input.text)
    };
    if let Some(grounder) = input.grounder() {
        errors.extend(grounder.errors(&data));
    }
    errors.extend(input.rules.faults(&data, input.text));
    if errors.is_empty() {
        Verdict::Accepted { data, repairs }
    } else {
        Verdict::Invalid {
            errors,
            candidate: Some(data),
        }
    }
}

fn invalid_with_message(message: &str) -> Verdict {
    Verdict::Invalid {
        errors: vec![error_at_root(message)],
        candidate: None,
    }
}

/// Returns an error of the answer as a whole.
fn error_at_root(message: impl Into<ErrorMessage>) -> FieldError {
    FieldError::new("", message)
}

#[cfg(test)]
mod tests;
