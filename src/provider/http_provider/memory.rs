//! Failures of calls for which there is no memory.

use throttle::NoMemory;

use crate::provider::call_memory::CallMemory;
use crate::provider::failure::{Failure, FailureKind};

/// Reserves memory for a call's request.
///
/// # Errors
/// If there is no room: nothing was sent, and the call may wait.
pub fn for_request(
    memory: Option<&CallMemory>,
    reserve: impl FnOnce(&CallMemory) -> Result<(), NoMemory>,
) -> Result<(), Failure> {
    let reserved = memory.map_or(Ok(()), reserve);
    reserved.map_err(|refused| {
        failure(
            FailureKind::OwnResources,
            "the request to the provider",
            refused,
        )
    })
}

/// Reserves memory for a call's answer.
///
/// # Errors
/// If there is no room.
pub fn for_answer(
    memory: Option<&CallMemory>,
    reserve: impl FnOnce(&CallMemory) -> Result<(), NoMemory>,
) -> Result<(), Failure> {
    let reserved = memory.map_or(Ok(()), reserve);
    reserved.map_err(|refused| failure(FailureKind::NoMemory, "the provider's answer", refused))
}

fn failure(kind: FailureKind, what: &str, refused: NoMemory) -> Failure {
    let detail = format!("{what} is too large for now: {refused} (`limits.max_memory_bytes`)");
    Failure::new(kind, detail)
}
