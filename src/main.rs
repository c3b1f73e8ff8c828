//! The program: arguments, telemetry, settings, build, run, shutdown, exit code.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use outcrop::{
    app::App,
    bedrock::{ConnectError, Connected},
    commands::{
        banner::{Banner, Started},
        check, demo, keys, print_config,
    },
    config::{Checked, Cli, Command, Inputs, Layers, ServeArgs, Watcher, quota_warnings},
    error::ConfigError,
    shutdown::{Signals, runtime},
    telemetry::{self, logs::LogFormat},
};
use tracing::warn;

/// Gives memory back some seconds after it was freed. The allocator of glibc keeps what was freed between two pieces that are in use, which after a
/// burst of streams is nearly all. The threads of jemalloc return it to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code for an invalid command line or configuration, as of clap.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let inputs = Inputs::of_process();
    let (cli, layers) = match inputs.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            // If the stream is closed, neither the help nor the problem can be delivered.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let result = runtime::block_on(run(cli, &inputs, &layers)).unwrap_or_else(|error| Err(error.into()));
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

async fn run(Cli { command, .. }: Cli, inputs: &Inputs, layers: &Layers) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(args) => Box::pin(serve(*args, inputs, layers)).await,
        Command::Tls(command) => command.run(&mut stdout()).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => Box::pin(check::run(*args, inputs, layers)).await,
        Command::Config { args, sample } => print_config::run(*args, sample, layers),
        Command::Demo { prompt } => demo::run(prompt).await,
        Command::Keys(command) => keys::run(&command).map(|()| ExitCode::SUCCESS),
    }
}

async fn serve(args: ServeArgs, inputs: &Inputs, layers: &Layers) -> Result<ExitCode, Box<dyn Error>> {
    let Checked { settings, upstream } = Box::pin(Checked::load(args, layers)).await?;
    let log = telemetry::logs::start(&settings.log, settings.log_format)?;
    for warning in inputs.warnings().into_iter().chain(quota_warnings(&settings)) {
        warn!("{warning}");
    }
    let Connected { bedrock, emulator } = upstream.connect().await?;
    let region = bedrock.home().to_owned();
    let watcher = Watcher::new(inputs, layers, &settings, &region)?;
    let app = App::build(&settings, bedrock).await?.with_watcher(Some(watcher), Some(log));
    // The first signal begins the graceful shutdown, and the second ends the running calls.
    let (first, second) = (Signals::listen()?, Signals::listen()?);
    writeln!(stdout(), "listening on {}", app.address())?;
    if let Some(address) = app.metrics_address() {
        writeln!(stdout(), "metrics on {address}")?;
    }
    let started = Started { address: app.address(), metrics: app.metrics_address(), region: &region };
    let banner = Banner::new(&settings, started);
    match settings.log_format {
        // The server also serves if standard error is closed.
        LogFormat::Text => drop(write!(stderr(), "{banner}")),
        LogFormat::Json => banner.log(),
    }
    if let Some(link) = app.page_link() {
        writeln!(stderr(), "open the page, once and within 10 minutes: {}", link.as_str())?;
    }
    app.run(first.count(1), second.count(2)).await;
    if let Some(emulator) = emulator {
        emulator.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}
