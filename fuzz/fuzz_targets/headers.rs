//!  the caller's deadline, Host and Origin.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::headers:Headers of a call(data));
