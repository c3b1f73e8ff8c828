//! `outcrop-client "prompt"`: calls a server and prints the answer as it arrives. See [`outcrop_client::cli`].

use std::process::ExitCode;

use clap::Parser;
use outcrop_client::cli::{AskArgs, run};

/// Calls an Outcrop server and prints the answer as it arrives.
///
/// Exit codes: 0 the answer is complete, or standard output was closed; 1 the call failed; 2 the arguments are invalid; 3 there is no
/// server at the endpoint; 130 cancelled with Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "outcrop-client", version)]
struct Cli {
    /// The URL of the server. Without a scheme it gets http:// if the host is this machine, and https:// otherwise
    #[arg(long, env = "OUTCROP_ENDPOINT", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { endpoint, mut ask } = Cli::parse();
    ask.connection.take_api_key_from_environment();
    ExitCode::from(run(&endpoint, &ask).await as u8)
}
