//! The emulator as a program: `bedrock-emulator --listen 127.0.0.1:8991`.

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use bedrock_emulator::{Config, Emulator, Faults, ModelQuota, Pace, StartError};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// An Amazon Bedrock Runtime for a laptop or CI, with faults on demand.
///
/// Point any AWS SDK at it with AWS_ENDPOINT_URL_BEDROCK_RUNTIME. The model id selects the answer: `emulator.<name>` is a script,
/// `recording.<folder>/<name>` is a recording, and any other id is an ordinary model. GET /_emulator/stats returns counts, and
/// GET /_emulator/last-request the last request.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address and port to listen on; port 0 selects a free port
    #[arg(long, env = "BEDROCK_EMULATOR_LISTEN", default_value = "127.0.0.1:8991")]
    listen: SocketAddr,
    /// A folder of script files: `name.json` becomes the model `emulator.name`
    #[arg(long, env = "BEDROCK_EMULATOR_SCRIPTS", value_name = "FOLDER")]
    scripts: Option<PathBuf>,
    /// A folder of recordings: `folder/name.json` becomes the model `recording.folder/name`
    #[arg(long, env = "BEDROCK_EMULATOR_RECORDINGS", value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    /// Use TLS with a new certificate, and write the certificate to this file
    #[arg(long, env = "BEDROCK_EMULATOR_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The maximum number of concurrent streams of an HTTP/2 connection
    #[arg(long, env = "BEDROCK_EMULATOR_MAX_CONCURRENT_STREAMS", value_name = "NUMBER")]
    max_concurrent_streams: Option<u32>,
    /// Enforce the quota of a model, as Bedrock does: MODEL[@REGION]=TOKENS[,requests=N][,streams=N][,burndown=N][,max-tokens=N]
    /// [,retry-after][,window][,minute-ms=N]; in the variable separated by `;`
    #[arg(long = "quota", env = "BEDROCK_EMULATOR_QUOTAS", value_name = "QUOTA", value_delimiter = ';')]
    quotas: Vec<ModelQuota>,
    /// The pauses of ordinary models in milliseconds, before the first frame and before each further one: FIRST[/P99],GAP[/P99]. With a 99th
    /// percentile they are drawn, and the first number is their median
    #[arg(long, env = "BEDROCK_EMULATOR_PACE", value_name = "PACE", default_value = "350,25")]
    pace: Pace,
    /// The share of requests that have a fault, such as throttle=5%,cut=1%; also unavailable, internal, exception, end, reset, stall, corrupt
    #[arg(long, env = "BEDROCK_EMULATOR_FAULTS", value_name = "FAULTS")]
    faults: Option<Faults>,
    /// What pauses and faults are drawn from: the same ones for the same sequence of requests
    #[arg(long, env = "BEDROCK_EMULATOR_SEED", value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
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
    let Arguments { listen, scripts, recordings, tls_certificate, max_concurrent_streams, quotas, pace, faults, seed } =
        arguments;
    let tls = tls_certificate.is_some();
    let config = Config {
        listen,
        tls,
        max_concurrent_streams,
        unpaced: false,
        pace: Some(pace),
        scripts,
        recordings,
        quotas,
        faults: faults.unwrap_or_default(),
        seed,
    };
    let emulator = Emulator::start(config).await.map_err(Box::<StartError>::new)?;
    if let (Some(path), Some(pem)) = (tls_certificate, emulator.certificate()) {
        std::fs::write(&path, pem).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    // Before the address is printed, so that no signal is missed after it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    writeln!(std::io::stdout(), "listening on {}", emulator.endpoint())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}
