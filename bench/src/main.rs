//! Measures what the server costs, beside the floor: a program that does the least that could do the same work.
//!
//! A workload runs rounds. In each round every program under test serves the same load, one after the other, and the ratios are those of
//! the same round, so that other work on the machine affects both sides. Each program is a process of its own.
//!
//! - `figures` medians and ratios
//! - `process` the programs, and their processor time
//! - `upstream` the emulator in place of Bedrock, and the answers that it gives
//! - `load` callers over HTTP, which check every byte
//! - `byte_proxy` the floor of a proxy
//! - `front` the workload of the Bedrock API

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

mod byte_proxy;
mod figures;
mod front;
mod load;
mod process;
mod upstream;

use std::error::Error;

use clap::{Parser, Subcommand};

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
    /// The emulator with the answers of the workloads
    #[command(hide = true)]
    Emulator,
    /// The floor of a proxy
    #[command(hide = true)]
    ByteProxy {
        /// The address to which requests go.
        upstream: std::net::SocketAddr,
    },
}

/// On the runtime that the server has.
#[tokio::main]
async fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Front(settings) => front::run(&settings).await,
        Command::Emulator => upstream::serve().await,
        Command::ByteProxy { upstream } => byte_proxy::serve(upstream).await,
    }
}
