//! See `extractd::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| extractd::fuzzing::rules(data));
