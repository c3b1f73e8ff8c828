//! Measures what the server costs, beside the floor: a program that does the least that could do the same work.
//!
//! A workload runs rounds. In each round every program under test serves the same load, one after the other, and the ratios are those of
//! the same round, so that other work on the machine affects both sides. Each program is a process of its own.
//!
//! - `figures` medians and ratios
//! - `process` the programs, their processor time and their memory
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
    /// The emulator with the answers of the workloads
    #[command(hide = true)]
    Emulator(upstream::Settings),
    /// The floor of a proxy
    #[command(hide = true)]
    ByteProxy {
        /// The address to which requests go.
        upstream: std::net::SocketAddr,
    },
    /// The floor of a server
    #[command(hide = true)]
    BareBridge(bridge::Settings),
    /// A server over the AWS SDK
    #[command(hide = true)]
    SdkBridge(bridge::Settings),
    /// A collector of traces and metrics
    #[command(hide = true)]
    Collector,
}

fn main() -> Result<(), Failure> {
    // A stream can be an open file in each process, and the processes that are started have this limit too.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    match Arguments::parse().command {
        // On runtimes of their own.
        Command::BareBridge(settings) => bridge::bare::serve(settings),
        Command::SdkBridge(settings) => bridge::sdk::serve(settings),
        other => Runtime::new()?.block_on(run(other)),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Front(settings) => front::run(&settings).await,
        Command::Generate(settings) => generate::run(&settings).await,
        Command::Features(settings) => features::run(&settings).await,
        Command::Emulator(settings) => upstream::serve(settings).await,
        Command::ByteProxy { upstream } => byte_proxy::serve(upstream).await,
        Command::Collector => collector::serve().await,
        Command::BareBridge(_) | Command::SdkBridge(_) => Err("a bridge has a runtime of its own".into()),
    }
}
