//! See the function of this name in the harness, `fuzz/src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| extractd_fuzz::made_up(data));
