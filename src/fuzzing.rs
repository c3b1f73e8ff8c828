//! What the fuzz targets in `fuzz/` call. Each function takes any bytes and asserts what holds for all of them.
//!
//! - [`answers`] what Bedrock sends: frames, events, native chunks
//! - [`input`] what callers and operators write: requests, settings, headers, JSON

mod answers;
mod input;

pub use self::{
    answers::{events, frames, native},
    input::{config_file, headers, json, request, settings},
};

/// A JWK set, and tokens with any header, claims and signature.
pub fn tokens(data: &[u8]) {
    crate::identity::jwt::fuzzing::tokens(data);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Gives every seed of a target to its function.
    fn seeds(target: &str, run: impl Fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let seeds = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut number = 0;
        for seed in seeds {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            // Cut anywhere, so that the seeds reach the errors too.
            for length in (0..=bytes.len()).rev().step_by(1 + bytes.len() / 50) {
                run(&bytes[..length]);
            }
            number += 1;
        }
        assert!(number > 1, "{} has no seeds", folder.display());
    }

    #[test]
    fn every_seed_keeps_what_its_target_asserts() {
        seeds("frames", super::frames);
        seeds("events", super::events);
        seeds("native", super::native);
        seeds("request", super::request);
        seeds("settings", super::settings);
        seeds("config_file", super::config_file);
        seeds("headers", super::headers);
        seeds("json", super::json);
        seeds("tokens", super::tokens);
    }
}
