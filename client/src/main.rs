//! `outcrop-client "prompt"` and its subcommands: calls a server and prints the answer as it arrives. See [`outcrop_client::cli`].

use std::process::ExitCode;

use clap::{Arg, CommandFactory, FromArgMatches, Parser, error::ErrorKind, parser::ValueSource};
use outcrop_client::cli::{AskArgs, Command, run, run_command};

const AFTER_HELP: &str = "\
A first word that is the name of a command is that command. Write -- before a prompt that begins with such a word:
  outcrop-client -- models

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
#[derive(Debug, Parser)]
#[command(name = "outcrop-client", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(override_usage = "outcrop-client [OPTIONS] [--] [PROMPT]...\n       outcrop-client [OPTIONS] <COMMAND>")]
struct Cli {
    /// The URL of the server. Without a scheme it gets http:// if the host is this machine, and https:// otherwise
    #[arg(long, global = true, env = "OUTCROP_ENDPOINT", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    ask: AskArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Parses the arguments. A flag of a prompt in front of a command is refused, because it would have no effect.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    if let Some(name) = matches.subcommand_name() {
        let is_given =
            |argument: &&Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
        let misplaced = command.get_arguments().filter(|argument| !argument.is_global_set()).find(is_given);
        if let Some(argument) = misplaced.map(ToString::to_string) {
            let problem = format!(
                "{argument} has no effect before the command {name}. Write it after the command, or -- before a prompt"
            );
            return Err(command.error(ErrorKind::ArgumentConflict, problem));
        }
    }
    Cli::from_arg_matches(&matches)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { endpoint, mut ask, command } = parse().unwrap_or_else(|error| error.exit());
    ask.common.connection.take_api_key_from_environment();
    let exit = match command {
        Some(command) => run_command(&endpoint, &ask.common, command).await,
        None => run(&endpoint, &ask).await,
    };
    ExitCode::from(exit as u8)
}
