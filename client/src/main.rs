//! `outcrop-client "prompt"`: calls a server and prints the answer as it arrives. See [`outcrop_client::cli`].

use std::process::ExitCode;

use clap::Parser;
use outcrop_client::cli::{AskArgs, run};

const EXIT_CODES: &str = "\
Exit codes:
    0  the answer is complete, or standard output was closed
    1  the call failed, and neither a retry nor another request is known to help
    2  the arguments or the prompt are invalid
    3  there is no server at the endpoint, or its certificate is not trusted
    4  the server refused the request as invalid
    5  the caller is unknown, or may not do this
    6  the call failed before content, and can be retried
    7  the call failed after content: what was printed is not the complete answer
  130  cancelled with Ctrl-C";

/// Calls an Outcrop server and prints the answer as it arrives.
///
#[derive(Debug, Parser)]
#[command(name = "outcrop-client", version, after_help = EXIT_CODES)]
struct Cli {
    /// The URL of the server. Without a scheme it gets http:// if the host is this machine, and https:// otherwise
    #[arg(long, global = true, env = "OUTCROP_ENDPOINT", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { endpoint, mut ask } = Cli::parse();
    ask.common.connection.take_api_key_from_environment();
    ExitCode::from(run(&endpoint, &ask).await as u8)
}
