//! Frames of the event stream, however the body is cut.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::frames(data));
