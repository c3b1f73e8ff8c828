//! Requests: decoded, checked, and mapped to those of Bedrock.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::request(data));
