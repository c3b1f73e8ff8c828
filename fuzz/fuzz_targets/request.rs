//!  decoded, checked, and mapped to Bedrock's.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::request:Requests(data));
