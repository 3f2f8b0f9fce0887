//! Few-shot examples of a request: their size, and whether their outputs are valid.

use std::sync::Arc;

use crate::long_work::{LONG_TEXT_BYTES, Piece, SlowDrop, spawn_long};
use crate::schema::{Evaluations, Schema};
use crate::types::{Code, Error, Example, FieldError, written_size};
use throttle::CallerId;

/// Size of examples up to which they are worked on within a worker of the runtime, in bytes: for less than a millisecond.
pub const QUICK_EXAMPLE_BYTES: usize = 8 * 1024;
/// Maximum size of the instructions, and of all examples together, in bytes: they are sent with every item.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// Maximum number of errors reported for the examples of a request.
const MAX_ERRORS: usize = 20;

/// Returns the error of a field that is too long.
pub fn too_long(pointer: &str) -> Error {
    let message =
        format!("takes more than {MAX_PROMPT_BYTES} bytes, which are sent with every item");
    Error::invalid(pointer, message)
}

/// Examples of a request, whose outputs are valid.
pub struct CheckedExamples {
    pub list: Arc<[Example]>,
    /// Size of all of them together, in bytes.
    pub bytes: usize,
}

impl CheckedExamples {
    /// Does work on the examples, as long work on behalf of the caller if they are large.
    ///
    /// # Errors
    /// `internal` if the work panics.
    pub async fn work_on<T: Send + 'static>(
        &self,
        caller: CallerId,
        work: impl FnOnce(&[Example]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        if self.bytes <= QUICK_EXAMPLE_BYTES {
            return Ok(work(&self.list));
        }
        let piece = Piece {
            caller,
            bytes: self.bytes.max(LONG_TEXT_BYTES),
        };
        let list = Arc::clone(&self.list);
        spawn_long(piece, move || work(&list)).await.map_err(|_| {
            let detail = "a bug in the server: the examples could not be prepared";
            Error::new(Code::Internal, detail)
        })
    }
}

/// Returns the size of all examples together, in bytes.
fn size_of_examples(examples: &[Example]) -> Result<usize, Error> {
    let mut left = MAX_PROMPT_BYTES;
    for (index, example) in examples.iter().enumerate() {
        let rest = left.checked_sub(example.input.0.len());
        let rest = rest.and_then(|rest| rest.checked_sub(written_size(&example.output, rest)?));
        left = rest.ok_or_else(|| too_long(&format!("/examples/{index}")))?;
    }
    Ok(MAX_PROMPT_BYTES - left)
}

/// Validates the examples' outputs, as long work on behalf of the caller if they are large or the schema costly.
pub async fn check_examples(
    caller: CallerId,
    mut examples: SlowDrop<Vec<Example>>,
    schema: &Arc<Schema>,
) -> Result<CheckedExamples, Error> {
    let bytes = size_of_examples(&examples)?;
    let examples = std::mem::take(&mut *examples);
    let (examples, errors) = if bytes <= QUICK_EXAMPLE_BYTES && !schema.is_slow_for(bytes) {
        let errors = example_errors(&examples, schema);
        (examples, errors)
    } else {
        let schema = Arc::clone(schema);
        let check = move || {
            let errors = example_errors(&examples, &schema);
            (examples, errors)
        };
        let piece = Piece {
            caller,
            bytes: bytes.max(LONG_TEXT_BYTES),
        };
        spawn_long(piece, check).await.map_err(|_| {
            let detail = "a bug in the server: the examples could not be validated";
            Error::new(Code::Internal, detail)
        })?
    };
    let Some(first) = errors.first() else {
        return Ok(CheckedExamples {
            list: examples.into(),
            bytes,
        });
    };
    let detail = format!(
        "{}: an example's output must be valid against the schema: {}",
        first.pointer, first.message
    );
    Err(Error::new(Code::InvalidRequest, detail).with_errors(errors))
}

/// Returns the errors of the examples, at most [`MAX_ERRORS`].
fn example_errors(examples: &[Example], schema: &Schema) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let evaluations = Evaluations::of_examples();
    for (index, example) in examples.iter().enumerate() {
        let output = format!("/examples/{index}/output");
        if evaluations.are_used_up() {
            let message = "the examples cannot be checked against the schema in bounded time; send fewer or smaller examples, or a simpler schema";
            errors.push(FieldError::new(output, message));
            break;
        }
        evaluations.spend(schema.evaluations(&example.output));
        let faults = schema.faults(&example.output).into_iter();
        errors.extend(faults.map(|error| error.with_prefix(&output)));
        if errors.len() >= MAX_ERRORS {
            errors.truncate(MAX_ERRORS);
            break;
        }
    }
    errors
}
