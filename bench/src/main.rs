//! Measures what the server costs, beside the floor: a program that does the least that could do the same work.
//!
//! A workload runs rounds. In each round every program under test serves the same load, one after the other, and the ratios are those of
//! the same round, so that other work on the machine affects both sides. Each program is a process of its own.
//!
//! - `figures` medians and ratios
//! - `part` the programs that are started, and `process` their processor time and their memory
//! - `upstream` the emulator in place of Bedrock, and the answers that it gives
//! - `operated` Outcrop with what an operator switches on, and its `collector`
//! - `front` the workload of the Bedrock API, with the callers in `load` and the floor in `byte_proxy`
//! - `generate` the workloads of gRPC, which are the `rows`, each measured by a `run`
//! - `features` what each feature of the server costs
//! - `callers` call over gRPC or with the AWS SDK, and `streams` check every text and take the times
//! - `bridge` the floors of gRPC, whose clients are in a `pool`

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

mod bridge;
mod byte_proxy;
mod callers;
mod collector;
mod features;
mod figures;
mod front;
mod generate;
mod load;
mod operated;
mod part;
mod pool;
mod process;
mod rows;
mod run;
mod streams;
mod upstream;

use std::error::Error;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

/// What can go wrong: anything, and then the benchmark has no result.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures what the server costs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The Bedrock API of the server beside a proxy that forwards bytes: processor time of a chunk
    Front(front::Settings),
    /// Generate of the server beside the bridges: processor time, delays and memory, as a table in Markdown
    Generate(generate::Settings),
    /// What each feature of the server costs that can be switched on, as a table in Markdown
    Features(features::Settings),
    /// A program that the benchmark starts
    #[command(hide = true, subcommand)]
    Part(part::Part),
}

fn main() -> Result<(), Failure> {
    // A stream can be an open file in each process, and the processes that are started have this limit too.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    match Arguments::parse().command {
        Command::Front(settings) => Runtime::new()?.block_on(front::run(&settings)),
        Command::Generate(settings) => Runtime::new()?.block_on(generate::run(&settings)),
        Command::Features(settings) => Runtime::new()?.block_on(features::run(&settings)),
        Command::Part(part) => part.run(),
    }
}
