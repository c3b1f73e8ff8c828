//! The emulator as a program: `bedrock-emulator --listen 127.0.0.1:8080`.
//!
//! Everything it does is in the library; this file reads the command line and prints where it listens.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use bedrock_emulator::{Config, Emulator, StartError};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// An Amazon Bedrock Runtime for a laptop or CI, with every fault on demand.
///
/// Point any AWS SDK at it with AWS_ENDPOINT_URL_BEDROCK_RUNTIME. Model ids choose the answer: `emulator.<name>` a script,
/// `recording.<folder>/<name>` a recording, any other an ordinary model. GET /_emulator/stats and
/// /_emulator/last-request tell what happened.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "BEDROCK_EMULATOR_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A folder of script files: `name.json` becomes the model `emulator.name`
    #[arg(long, env = "BEDROCK_EMULATOR_SCRIPTS", value_name = "FOLDER")]
    scripts: Option<PathBuf>,
    /// A folder of recordings: `folder/name.json` becomes the model `recording.folder/name`
    #[arg(long, env = "BEDROCK_EMULATOR_RECORDINGS", value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    /// Speak TLS and write the certificate, made for this run, to this file
    #[arg(long, env = "BEDROCK_EMULATOR_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The most concurrent streams of one HTTP/2 connection
    #[arg(long, env = "BEDROCK_EMULATOR_MAX_CONCURRENT_STREAMS", value_name = "NUMBER")]
    max_concurrent_streams: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bedrock-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { listen, scripts, recordings, tls_certificate, max_concurrent_streams } = arguments;
    let tls = tls_certificate.is_some();
    let config = Config { listen, tls, max_concurrent_streams, unpaced: false, scripts, recordings };
    let emulator = Emulator::start(config).await.map_err(Box::<StartError>::new)?;
    if let (Some(path), Some(pem)) = (tls_certificate, emulator.certificate()) {
        std::fs::write(&path, pem).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    // Listened for before anybody can know that there is something to stop.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    writeln!(std::io::stdout(), "listening on {}", emulator.endpoint())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}
