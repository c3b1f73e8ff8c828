//! The command line: routes, durations, addresses, limits, allowed hosts.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::settings(data));
