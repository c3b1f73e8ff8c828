//! The emulator as a program: `bedrock-emulator --listen 127.0.0.1:8991`, and `bedrock-emulator record` as a recorder of the real Bedrock.

mod record;
mod serve;

use std::{
    io::{self, Write},
    process::ExitCode,
    thread,
};

use clap::{Parser, Subcommand};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// An Amazon Bedrock Runtime for a laptop or CI, with faults on demand.
///
/// Point any AWS SDK at it with AWS_ENDPOINT_URL_BEDROCK_RUNTIME. The model id selects the answer: `emulator.<name>` is a script,
/// `recording.<folder>/<name>` is a recording, and any other id is an ordinary model. GET /_emulator/requests returns the requests, and
/// GET /_emulator/stats counts.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    serve: serve::ServeArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record exchanges with the real Bedrock, which the emulator replays
    ///
    /// Point an SDK at it with AWS_ENDPOINT_URL_BEDROCK_RUNTIME. Requests are signed with the credentials in AWS_BEARER_TOKEN_BEDROCK, or in
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and cost what they cost. Answers that are cut or abandoned are not
    /// kept.
    Record(record::RecordArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { serve, command } = Arguments::parse();
    let result = match command {
        None => serve::run(serve).await,
        Some(Command::Record(arguments)) => record::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bedrock-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints where it listens, and waits for SIGTERM or SIGINT, or also for the end of standard input.
async fn until_stopped(endpoint: &str, or_stdin_closes: bool) -> io::Result<()> {
    // Before the address is printed, so that no signal is missed after it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let closed = or_stdin_closes.then(stdin_closes).transpose()?;
    writeln!(io::stdout(), "listening on {endpoint}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // The sender is dropped when standard input has ended.
        Some(_) = async { Some(closed?.await) } => {}
    }
    Ok(())
}

/// Reads standard input to its end in a thread, which the end of the process does not wait for: reading cannot be cancelled.
fn stdin_closes() -> io::Result<oneshot::Receiver<()>> {
    let (open, closed) = oneshot::channel();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(open);
    })?;
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_and_flags_are_consistent() {
        Arguments::command().debug_assert();
        assert!(Arguments::try_parse_from(["bedrock-emulator", "record", "--into", "folder"]).is_ok());
        assert!(Arguments::try_parse_from(["bedrock-emulator", "--seed", "1", "record", "--into", "folder"]).is_err());
    }
}
