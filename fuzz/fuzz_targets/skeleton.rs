//! See `extractd_fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| extractd_fuzz::skeleton(data));
