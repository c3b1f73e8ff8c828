//! Script files of the emulator.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bedrock_emulator::fuzzing::script(data));
