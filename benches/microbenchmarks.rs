//! How long the pure parts of the path of a call take. `.ci/instructions` counts their instructions.
//!
//! Run with `cargo bench --features microbenchmarks --bench microbenchmarks`. A time is that of all the chunks or calls of a work, and the throughput
//! is how many of them a second has.

use divan::{Bencher, counter::ItemsCount};
use outcrop::microbenchmarks::{self, Microbenchmark};

fn main() {
    divan::main();
}

#[divan::bench(args = microbenchmarks::all())]
fn path_of_a_call(bencher: Bencher<'_, '_>, part: &Microbenchmark) {
    let counter = ItemsCount::new(part.times);
    bencher.counter(counter).with_inputs(part.prepare).bench_local_values(|work| work());
}
