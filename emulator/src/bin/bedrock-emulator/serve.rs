//! `bedrock-emulator`: the emulator.

use std::{error::Error, fs, net::SocketAddr, path::PathBuf};

use bedrock_emulator::{Config, Emulator, Faults, ModelQuota, Pace, StartError};

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArguments {
    /// Address and port to listen on; port 0 selects a free port
    #[arg(long, env = "BEDROCK_EMULATOR_LISTEN", default_value = "127.0.0.1:8991")]
    listen: SocketAddr,
    /// A folder of script files: `name.json` becomes the model `emulator.name`
    #[arg(long, env = "BEDROCK_EMULATOR_SCRIPTS", value_name = "FOLDER")]
    scripts: Option<PathBuf>,
    /// A folder of recordings: `folder/name.json` becomes the model `recording.folder/name`
    #[arg(long, env = "BEDROCK_EMULATOR_RECORDINGS", value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    /// A folder of recordings that answer the same requests again. Requests to ordinary models that were not recorded are refused
    #[arg(long, env = "BEDROCK_EMULATOR_REPLAY", value_name = "FOLDER")]
    replay: Option<PathBuf>,
    /// Refuse what Bedrock refuses before a model sees it, with its messages: values out of range, roles that do not alternate, blank texts,
    /// uses of tools without results
    #[arg(long, env = "BEDROCK_EMULATOR_VALIDATE")]
    validate: bool,
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
    /// Exit when standard input is closed, so that the emulator ends with the program that started it
    #[arg(long)]
    exit_when_stdin_closes: bool,
}

pub(crate) async fn run(arguments: ServeArguments) -> Result<(), Box<dyn Error>> {
    let ServeArguments {
        listen,
        scripts,
        recordings,
        replay,
        validate,
        tls_certificate,
        max_concurrent_streams,
        quotas,
        pace,
        faults,
        seed,
        exit_when_stdin_closes,
    } = arguments;
    let tls = tls_certificate.is_some();
    let config = Config {
        listen,
        tls,
        max_concurrent_streams,
        unpaced: false,
        pace: Some(pace),
        scripts,
        recordings,
        replay,
        validate,
        quotas,
        faults: faults.unwrap_or_default(),
        seed,
    };
    let emulator = Emulator::start(config).await.map_err(Box::<StartError>::new)?;
    if let (Some(path), Some(pem)) = (tls_certificate, emulator.certificate()) {
        fs::write(&path, pem).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    crate::until_stopped(&emulator.endpoint(), exit_when_stdin_closes).await?;
    emulator.stop().await;
    Ok(())
}
