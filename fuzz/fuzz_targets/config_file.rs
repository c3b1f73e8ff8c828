//! The configuration file: settings, routes, callers and issuers of tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outcrop::fuzzing::config_file(data));
