//! Runs one microbenchmark once, so that Callgrind counts its instructions. `.ci/instructions` is the program for that.
//!
//! Without arguments it lists all of them, each with how often it does what it measures and with how many allocations.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark says what it measured, or fails")]

use std::{env, hint::black_box};

use allocation_counter::measure;
use outcrop::microbenchmarks::{self, Microbenchmark, Work};

fn main() {
    let all = microbenchmarks::all();
    if let Some(name) = env::args().nth(1) {
        return counted(ready(all.iter().find(|part| part.name == name).unwrap()));
    }
    for part in &all {
        let work = ready(part);
        println!("{}\t{}\t{}", part.times, measure(|| counted(work)).count_total, part.name);
    }
}

fn ready(part: &Microbenchmark) -> Work {
    // What a process makes once is made now.
    (part.prepare)()();
    (part.prepare)()
}

/// Callgrind counts what runs in here.
#[inline(never)]
fn counted(work: Work) {
    black_box(work)();
}
