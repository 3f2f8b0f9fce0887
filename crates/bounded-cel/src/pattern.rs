//! Regular expressions of `matches`: compiled with the rule, in linear time and within a size limit.

use regex::{Regex, RegexBuilder};

use crate::lexer::SyntaxError;

/// Size classes of a compiled regular expression, in bytes. The last is the maximum; the class determines the cost.
const SIZE_CLASSES: [usize; 3] = [8 << 10, 32 << 10, 128 << 10];
/// Bytes of a compiled expression that cost [`STEPS_PER_BLOCK`] steps for each byte of text. Measured with regex 1.13: the
/// worst text takes a microsecond for 16 to 46 KiB.
const BLOCK_BYTES: usize = 4 << 10;
/// Evaluation steps that take as long as matching one byte of text against [`BLOCK_BYTES`] of a compiled expression.
const STEPS_PER_BLOCK: u64 = 4;

/// Compiled regular expression with its cost.
#[derive(Debug)]
pub struct Pattern {
    pub regex: Regex,
    /// Evaluation steps for each byte of text.
    pub cost: u64,
}

/// Compiles the regular expression of `matches`, which begins at `offset`.
///
/// # Errors
/// If the text is no regular expression, or too large once compiled.
pub fn compile(text: &str, offset: usize) -> Result<Pattern, SyntaxError> {
    let compiled = |bytes: usize| {
        RegexBuilder::new(text)
            .size_limit(bytes)
            .dfa_size_limit(bytes)
            .build()
    };
    for bytes in SIZE_CLASSES {
        match compiled(bytes) {
            Ok(regex) => {
                return Ok(Pattern {
                    regex,
                    cost: STEPS_PER_BLOCK * bytes.div_ceil(BLOCK_BYTES) as u64,
                });
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => {
                let message = "this is no regular expression that can be used here: it has to run in linear time, so without \
                               look-around and backreferences";
                return Err(SyntaxError::new(offset, message));
            }
        }
    }
    Err(SyntaxError::new(
        offset,
        "this regular expression is too large once compiled; repeat less in it",
    ))
}
