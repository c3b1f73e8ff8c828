//! The program: arguments, telemetry, settings, build, run, shutdown, exit code.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use outcrop::{
    app::{App, raise_file_limit},
    bedrock::{ConnectError, Connected},
    commands::{demo, keys},
    config::{Cli, Command, Inputs, Layers, ServeArgs},
    error::ConfigError,
    request::timeouts::TimeoutSettings,
    shutdown::{Signals, runtime},
    telemetry,
};

/// The exit code for an invalid command line or configuration, as of clap.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let (cli, layers) = match Inputs::of_process().load() {
        Ok(loaded) => loaded,
        Err(error) => {
            // If the stream is closed, neither the help nor the problem can be delivered.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let result = runtime::block_on(run(cli, layers)).unwrap_or_else(|error| Err(error.into()));
    match result {
        Ok(code) => code,
        Err(error) => {
            // If standard error is closed, the message cannot be delivered.
            let _ = writeln!(stderr(), "outcrop: {error}");
            let unusable = error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(ConnectError::Config(_)));
            if unusable { ExitCode::from(UNUSABLE) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(Cli { command, log }: Cli, layers: Layers) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(args) => Box::pin(serve(*args, &log, &layers)).await,
        Command::Tls(command) => command.run(&mut stdout()).map(|()| ExitCode::SUCCESS),
        Command::Demo { prompt } => demo::run(prompt).await,
        Command::Keys(command) => keys::run(&command).map(|()| ExitCode::SUCCESS),
    }
}

async fn serve(args: ServeArgs, log: &str, layers: &Layers) -> Result<ExitCode, Box<dyn Error>> {
    raise_file_limit();
    let (local, region) = (args.local, args.region.clone().filter(|name| !name.is_empty()));
    let logging = telemetry::start(log).map_err(|error| format!("--log is {log:?}: {error}"));
    let settings = match (args.resolve(layers), logging) {
        (Ok(settings), Ok(())) => settings,
        (resolved, logging) => {
            let mut problems = resolved.err().map(|ConfigError(problems)| problems).unwrap_or_default();
            problems.extend(logging.err());
            if !local {
                problems.extend(Connected::problems(region, TimeoutSettings::default().max.connect).await);
            }
            return Err(ConfigError(problems).into());
        }
    };
    let Connected { bedrock, emulator } = Connected::connect(&settings.upstream, settings.max_connect()).await?;
    let app = App::build(&settings, bedrock).await?;
    // The first signal begins the graceful shutdown, and the second ends the running calls.
    let (first, second) = (Signals::listen()?, Signals::listen()?);
    writeln!(stdout(), "listening on {}", app.address())?;
    if let Some(address) = app.metrics_address() {
        writeln!(stdout(), "metrics on {address}")?;
    }
    app.run(first.count(1), second.count(2)).await;
    if let Some(emulator) = emulator {
        emulator.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}
