//! Exit codes of the commands that use a server.

use std::process::ExitCode;

use super::interrupt::Interrupted;
use crate::types::without_os_codes;

/// Exit code if some items did not succeed.
pub const SOME_FAILED: u8 = 1;
/// Exit code if the work could not be done.
pub const FAILED: u8 = 2;
/// Exit code after an interruption, as shells use it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Returns the exit code of a command, and reports its error on standard error.
pub fn from_result(result: anyhow::Result<u8>) -> ExitCode {
    let code = match result {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => INTERRUPTED,
        Err(error) => {
            eprintln!("extractd: {}", without_os_codes(&format!("{error:#}")));
            FAILED
        }
    };
    ExitCode::from(code)
}

/// Returns the exit code of a command with so many items that did not succeed.
pub const fn for_failed(failed: u64) -> u8 {
    if failed > 0 { SOME_FAILED } else { 0 }
}
