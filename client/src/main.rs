//! `outcrop-client "prompt"`: asks a server and prints the answer as it arrives. See [`outcrop_client::cli`].

use std::process::ExitCode;

use clap::Parser;
use outcrop_client::cli::{AskArgs, run};

/// Asks an Outcrop server and prints the answer as it arrives.
///
/// Exit codes: 0 the answer is whole, or the reader of the output has gone; 1 the call failed; 2 the arguments cannot be
/// used; 3 no server at the endpoint; 130 cancelled with Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "outcrop-client", version)]
struct Cli {
    /// The server
    #[arg(long, env = "OUTCROP_ENDPOINT", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { endpoint, ask } = Cli::parse();
    ExitCode::from(run(&endpoint, &ask).await as u8)
}
