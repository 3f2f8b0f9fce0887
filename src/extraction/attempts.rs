//! Attempts of one item: call and validate, and on an invalid answer a validation retry with the answer's errors as feedback.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::item::ItemRun;
use super::result_memory::hold_result;
use super::validate_answer::{self, ValidationInput, Verdict};
use crate::long_work::{LONG_TEXT_BYTES, run_off_worker};
use crate::provider::{Answer, ValidationFeedback};
use crate::types::{
    AttemptInfo, Code, Error, FallbackCondition, FieldError, Invalid, SharedValue, Success,
    parsed_size,
};
use throttle::Permit;

/// Maximum length of an answer that is kept after its attempt, and of an error's `raw`, in bytes. A validation retry repeats less.
const MAX_RAW_BYTES: usize = 64 * 1024;
/// Output limit after a truncated answer whose provider does not report its length, in tokens.
const UNKNOWN_OUTPUT_LIMIT: u32 = 2048;

/// State that one attempt leaves to the next.
#[derive(Debug, Default)]
struct Previous {
    /// Beginning of the latest invalid answer, and its errors.
    feedback: Option<ValidationFeedback>,
    /// Beginning of the latest answer, if it was truncated.
    truncated: Option<String>,
    /// Candidate with the fewest errors so far.
    best: Option<Invalid>,
    /// Error of the target before the current one, which gave no valid answer.
    failure: Option<Error>,
}

impl Previous {
    /// Returns the error of an item whose fallback failed: that of the target before it, whose answers say more.
    fn with_failure(&mut self, error: Error) -> Error {
        let is_of_item = !matches!(
            error.code,
            Code::ShuttingDown | Code::QuotaExceeded | Code::Internal
        );
        match self.failure.take().filter(|_| is_of_item) {
            Some(failure) => Error {
                detail: format!(
                    "{}; the fallback failed too: {}",
                    failure.detail, error.detail
                )
                .into(),
                ..failure
            },
            None => error,
        }
    }
}

impl ItemRun<'_> {
    /// Calls until an answer is valid or the attempts are used up. `permit` is for the first call, if it was acquired already.
    pub async fn extract(
        &mut self,
        text: &str,
        mut permit: Option<Permit>,
    ) -> Result<Success, Error> {
        let mut previous = Previous::default();
        loop {
            self.attempts += 1;
            let answer = match self
                .call(text, previous.feedback.as_ref(), permit.take())
                .await
            {
                // The provider rejects the doubled output limit as too large: the answer remains truncated.
                Err(Error {
                    upstream_status: Some(400 | 422),
                    ..
                }) if let Some(raw) = previous.truncated.take() => {
                    return Err(self.output_truncated(raw));
                }
                Ok(answer) => answer,
                Err(error) => return Err(previous.with_failure(error)),
            };
            let verdict = self.validate(text, &answer).await;
            match self.judge(answer, verdict, &mut previous) {
                Ok(Some(success)) => return Ok(success),
                Ok(None) => self.extractor.meters.validation_retry(),
                Err(error) if self.switch_after(&error) => {
                    previous = Previous {
                        failure: Some(error),
                        best: previous.best,
                        ..Previous::default()
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Switches to the fallback after the last attempt of a target that has no valid answer. Returns false if there is none.
    fn switch_after(&mut self, error: &Error) -> bool {
        let condition = match error.code {
            Code::ModelRefused => FallbackCondition::Refused,
            Code::ExtractionFailed | Code::OutputTruncated => FallbackCondition::Invalid,
            _ => return false,
        };
        let has_switched = self.route.switch_for_good(condition);
        if has_switched {
            self.earlier_attempts = self.attempts;
            self.output_limit = self.request.max_output_tokens;
        }
        has_switched
    }

    fn is_last_attempt(&self) -> bool {
        self.attempts - self.earlier_attempts >= self.request.max_attempts
    }

    async fn validate(&mut self, text: &str, answer: &Answer) -> Verdict {
        let started = Instant::now();
        // Values that remain are then marked as absent.
        let is_reported = self.request.grounding().is_on();
        let input = ValidationInput {
            schema: &self.request.schema,
            rules: &self.request.rules,
            lowered: self.route.current().lowered.get(&answer.mode),
            coerce: self.request.coerce,
            is_last: self.is_last_attempt(),
            example_values: &self.route.current().example_values,
            allows_copied_values: self.request.allows_copied_values()
                || self.is_last_attempt() && is_reported,
            grounding: self.request.grounding_settings(),
            text,
            caller: self.route.caller(),
        };
        let verdict = validate_answer::validate(input, answer).await;
        if let Some(tracer) = &mut self.tracer {
            tracer.validated(&verdict, started, self.attempts);
        }
        verdict
    }

    /// Returns the result of a valid answer; `None` if another attempt follows.
    fn judge(
        &mut self,
        answer: Answer,
        verdict: Verdict,
        previous: &mut Previous,
    ) -> Result<Option<Success>, Error> {
        match verdict {
            Verdict::Accepted { data, repairs } => Ok(Some(Success {
                data: self.shared(data, &answer.text),
                model: self.model_label(),
                repairs,
                cached: false,
            })),
            Verdict::Refusal(reason) => {
                let detail = format!("the model declined: {reason}");
                Err(self.failed(Code::ModelRefused, detail, answer.text))
            }
            Verdict::Truncated
                if self.is_last_attempt() || self.request.max_output_tokens.is_some() =>
            {
                Err(self.output_truncated(answer.text))
            }
            Verdict::Truncated => {
                self.double_output_limit(&answer);
                previous.truncated = Some(beginning(answer.text));
                Ok(None)
            }
            Verdict::Invalid { errors, candidate } => {
                let candidate = candidate.map(|value| self.shared(value, &answer.text));
                self.keep_best(&mut previous.best, &errors, candidate);
                if self.is_last_attempt() {
                    return Err(self.extraction_failed(errors, previous.best.clone(), answer.text));
                }
                previous.truncated = None;
                previous.feedback = Some(ValidationFeedback {
                    answer: beginning(answer.text),
                    errors,
                });
                Ok(None)
            }
        }
    }

    /// Returns the value of an answer, with its memory.
    fn shared(&self, value: Value, text: &str) -> SharedValue {
        let is_long = text.len() >= LONG_TEXT_BYTES;
        let bytes = run_off_worker(is_long, || parsed_size(text.as_bytes()));
        SharedValue::new(value, hold_result(self.results, bytes))
    }

    /// Replaces the best candidate by one with as many errors or fewer.
    fn keep_best(
        &self,
        best: &mut Option<Invalid>,
        errors: &[FieldError],
        candidate: Option<SharedValue>,
    ) {
        let is_better = best
            .as_ref()
            .is_none_or(|best| errors.len() <= best.errors.len());
        if let Some(candidate) = candidate.filter(|_| is_better) {
            *best = Some(Invalid {
                candidate,
                errors: errors.to_vec(),
                model: Some(self.model_label()),
            });
        }
    }

    /// Doubles the output limit that was too small.
    fn double_output_limit(&mut self, answer: &Answer) {
        let used = answer
            .usage
            .and_then(|usage| u32::try_from(usage.output_tokens).ok())
            .filter(|tokens| *tokens > 0);
        let too_small = self.output_limit.or(used);
        self.output_limit =
            Some(too_small.map_or(UNKNOWN_OUTPUT_LIMIT, |limit| limit.saturating_mul(2)));
    }

    fn output_truncated(&self, raw: String) -> Error {
        let detail = match self.request.max_output_tokens {
            Some(limit) => format!(
                "the answer did not fit into `max_output_tokens` ({limit}); raise it, or split the text"
            ),
            None => "the answer exceeded the model's output limit, even after it was doubled; split the text or narrow the schema"
                .to_owned(),
        };
        self.failed(Code::OutputTruncated, detail, raw)
    }

    /// Returns the error of an item without a valid answer: with the errors of the best candidate, or of the last answer if no
    /// answer was an object.
    fn extraction_failed(
        &self,
        last: Vec<FieldError>,
        best: Option<Invalid>,
        raw: String,
    ) -> Error {
        let attempts = match self.attempts {
            1 => "1 attempt".to_owned(),
            attempts => format!("{attempts} attempts"),
        };
        let described = match best {
            Some(_) => "`candidate`, the answer with the fewest errors",
            None => "the last answer",
        };
        let detail =
            format!("no answer was valid in {attempts}; `errors` lists the errors of {described}");
        let mut error = self
            .failed(Code::ExtractionFailed, detail, raw)
            .with_errors(last);
        if let (Some(attempted), Some(best)) = (error.attempted.as_mut().map(Arc::make_mut), best) {
            error.errors = best.errors;
            attempted.candidate = Some(best.candidate);
            attempted.model = best.model;
        }
        error
    }

    fn failed(&self, code: Code, detail: String, raw: String) -> Error {
        let attempted = AttemptInfo {
            attempts: self.attempts,
            raw: Some(beginning(raw)),
            ..AttemptInfo::default()
        };
        Error {
            attempted: Some(Arc::new(attempted)),
            ..Error::new(code, detail)
        }
    }
}

/// Returns the beginning of an answer that is kept after its attempt. The memory of the rest is freed: the next call does not count it.
fn beginning(mut answer: String) -> String {
    answer.truncate(answer.floor_char_boundary(MAX_RAW_BYTES));
    answer.shrink_to_fit();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_up_to_its_limit_with_the_memory_of_that() {
        assert_eq!(beginning("short".to_owned()), "short");
        let kept = beginning("é".repeat(1 << 20));
        assert_eq!(kept, "é".repeat(MAX_RAW_BYTES / 2));
        assert!(kept.capacity() < MAX_RAW_BYTES * 2);
        let kept = beginning(format!("a{}", "é".repeat(MAX_RAW_BYTES)));
        assert_eq!(kept.len(), MAX_RAW_BYTES - 1);
    }
}
