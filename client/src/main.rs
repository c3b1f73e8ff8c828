//! `outcrop-client "prompt"` and its subcommands: calls a server and prints the answer as it arrives. See [`outcrop_client::cli`].

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource,
};
use clap_complete::Shell;
use outcrop_client::{
    SecretString,
    cli::{AskArgs, Command, Exit, ProfileArgs, run, run_command, with_profile},
};

const NAME: &str = "outcrop-client";

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
#[command(name = NAME, version, after_help = AFTER_HELP, disable_help_subcommand = true)]
#[command(override_usage = "outcrop-client [OPTIONS] [--] [PROMPT]...\n       outcrop-client [OPTIONS] <COMMAND>")]
struct Cli {
    /// The URL of the server. Without a scheme it gets http:// if the host is this machine, and https:// otherwise
    #[arg(long, global = true, env = "OUTCROP_ENDPOINT", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    ask: AskArgs,
    #[command(subcommand)]
    command: Option<Program>,
}

/// The commands: calls of a server, and texts about the program itself.
#[derive(Debug, Subcommand)]
enum Program {
    #[command(flatten)]
    Call(Command),
    /// Print a script that completes commands and flags in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages of the program and of its commands to a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

/// Prints the script of a shell.
fn completions(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    io::stdout().write_all(&script)
}

/// Prints why a text could not be written. A reader that closed the output is no error.
fn written(written: io::Result<()>) -> Exit {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // If standard error is closed, the exit code remains.
            let _ = writeln!(io::stderr(), "{NAME}: cannot write: {error}");
            Exit::Failed
        }
        _ => Exit::Complete,
    }
}

/// Parses the arguments, and again with the defaults of a profile. Returns the API key of the profile too.
fn parse() -> Result<(Cli, Option<SecretString>), clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    check_places(&mut command, &matches)?;
    let with_profile = with_profile(Cli::command(), &matches);
    let Some(mut with) = with_profile.map_err(|problem| command.error(ErrorKind::Io, problem))? else {
        return Ok((Cli::from_arg_matches(&matches)?, None));
    };
    let matches = with.command.try_get_matches_from_mut(std::env::args_os()).map_err(|error| {
        let origin = format!("in {}: {}", with.origin, error.to_string().trim_start_matches("error: "));
        command.error(ErrorKind::ValueValidation, origin)
    })?;
    Ok((Cli::from_arg_matches(&matches)?, with.api_key))
}

/// Refuses a flag of a prompt in front of a command, because it would have no effect.
fn check_places(command: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(name) = matches.subcommand_name() else { return Ok(()) };
    let is_given = |argument: &&Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    let misplaced = command.get_arguments().filter(|argument| !argument.is_global_set()).find(is_given);
    let Some(argument) = misplaced.map(ToString::to_string) else { return Ok(()) };
    let problem = format!(
        "{argument} has no effect before the command {name}. Write it after the command, or -- before a prompt"
    );
    Err(command.error(ErrorKind::ArgumentConflict, problem))
}

#[tokio::main]
async fn main() -> ExitCode {
    let (Cli { endpoint, mut ask, command, .. }, api_key) = parse().unwrap_or_else(|error| error.exit());
    ask.common.connection.take_api_key_from_environment(api_key);
    let exit = match command {
        Some(Program::Call(command)) => run_command(&endpoint, &ask.common, command).await,
        Some(Program::Completions { shell }) => written(completions(shell)),
        Some(Program::Man { folder }) => written(clap_mangen::generate_to(Cli::command(), folder)),
        None => run(&endpoint, &ask).await,
    };
    ExitCode::from(exit as u8)
}
