//! The pure parts of the path of a call, for the benchmarks: no socket, no task and no waiting.
//!
//! The feature `microbenchmarks` opens this module to `benches/microbenchmarks.rs` and `examples/instructions.rs`. No program is built with it.
//!
//! - `answers` from the bytes of Bedrock to chunks, and from chunks to gRPC messages
//! - `calls` what is done once for a call
//! - `streams` a running call with everything that a chunk passes

#![expect(clippy::expect_used, reason = "a benchmark measures what it says, or fails")]

mod answers;
mod calls;
mod streams;

use std::fmt;

/// What a microbenchmark measures. It is ready to run, and can run once.
pub type Work = Box<dyn FnOnce()>;

/// A part of the path of a call.
#[derive(Clone, Copy, Debug)]
pub struct Microbenchmark {
    /// Its name.
    pub name: &'static str,
    /// How often the part runs in one [`Work`]: once for each chunk, or for each call.
    pub times: u32,
    /// Prepares a work.
    pub prepare: fn() -> Work,
}

impl fmt::Display for Microbenchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Microbenchmark> {
    let of = |times| move |(name, prepare)| Microbenchmark { name, times, prepare };
    let chunks = answers::ALL.into_iter().chain(streams::ALL).map(of(answers::CHUNKS));
    chunks.chain(calls::ALL.into_iter().map(of(calls::CALLS))).collect()
}

/// The name of a part, and what prepares it.
type Named = (&'static str, fn() -> Work);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_microbenchmark_has_a_name_of_its_own_and_does_what_it_measures() {
        let mut names = BTreeSet::new();
        for part in super::all() {
            assert!(names.insert(part.name), "{} twice", part.name);
            // Each asserts what its work has done.
            (part.prepare)()();
        }
    }
}
