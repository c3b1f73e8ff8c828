//! Tokens and the keys of their issuers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::tokens(data));
