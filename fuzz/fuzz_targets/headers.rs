//! The headers of a call: the deadline, Host and Origin.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::headers(data));
