//! Chunks in the native format of every family.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::native(data));
