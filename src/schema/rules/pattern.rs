//! The regular expressions of rules.

use regex::{Regex, RegexBuilder};

use super::lexer::SyntaxError;
use super::syntax::{Expression, Kind};
use crate::schema::patterns;

/// What a regular expression may take once it is compiled, in bytes: the sizes that are told apart.
const PATTERN_BYTES: [usize; 3] = [8 << 10, 32 << 10, 128 << 10];
/// Steps of evaluation that take about the time of one of a schema's.
const STEPS: u64 = 4;

/// A regular expression, and the steps that a byte of text takes.
#[derive(Debug)]
pub struct Pattern {
    pub regex: Regex,
    pub cost: u64,
}

/// Compiled when the rule is: so it is bounded, and a wrong one is refused at once.
pub fn compile(pattern: &Expression) -> Result<Pattern, SyntaxError> {
    let at = pattern.at;
    let Kind::Text(text) = &pattern.kind else {
        return Err(SyntaxError::new(
            at,
            "the regular expression of `matches` has to be written as a string",
        ));
    };
    let compiled = |bytes: usize| {
        RegexBuilder::new(text)
            .size_limit(bytes)
            .dfa_size_limit(bytes)
            .build()
    };
    for bytes in PATTERN_BYTES {
        match compiled(bytes) {
            Ok(regex) => {
                return Ok(Pattern {
                    regex,
                    cost: STEPS * patterns::evaluations(bytes),
                });
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => {
                let message = "this is no regular expression that can be used here: it has to run in linear time, so without \
                               look-around and backreferences";
                return Err(SyntaxError::new(at, message));
            }
        }
    }
    Err(SyntaxError::new(
        at,
        "this regular expression is too large once compiled; repeat less in it",
    ))
}
