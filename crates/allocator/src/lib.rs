//! mimalloc as the global allocator, set to return freed memory quickly.

use std::ffi::{c_int, c_long};

pub use mimalloc::MiMalloc;

/// Option `mi_option_purge_delay` of mimalloc 3: the time in milliseconds for which freed pages are kept.
///
/// Its number is that of `mi_option_e` in `mimalloc.h`, version 3.
const PURGE_DELAY: c_int = 15;

/// Time for which freed pages are kept, in milliseconds: the default of mimalloc 2.
const PURGE_DELAY_MS: c_long = 10;

#[expect(
    unsafe_code,
    reason = "the crate mimalloc has no function for options; this one takes two numbers by value, and ignores options it does not know"
)]
unsafe extern "C" {
    safe fn mi_option_set(option: c_int, value: c_long);
}

/// Sets mimalloc to return freed memory to the system after 10 ms in place of a second. Has no effect if the environment variable
/// `MIMALLOC_PURGE_DELAY` is set.
///
/// To be called at the start of the process.
pub fn return_memory_quickly() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}
