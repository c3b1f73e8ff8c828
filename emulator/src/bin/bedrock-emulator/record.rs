//! `bedrock-emulator record`: the recorder.

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use bedrock_emulator::record::{Credentials, Recorded, Recorder, RecorderConfig, Upstream};

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArguments {
    /// Loopback address and port to listen on; port 0 selects a free port
    #[arg(long, env = "BEDROCK_EMULATOR_LISTEN", default_value = "127.0.0.1:8991")]
    listen: SocketAddr,
    /// Where requests go: `bedrock`, or a URL
    #[arg(long, value_name = "URL", default_value = "bedrock")]
    upstream: String,
    /// The region of the upstream, if its URL does not name it
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// The folder for recordings: OPERATION/MODEL-NUMBER.json
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
}

pub(crate) async fn run(arguments: RecordArguments) -> Result<(), Box<dyn Error>> {
    let RecordArguments { listen, upstream, region, into } = arguments;
    let variable = |name: &str| env::var(name).ok();
    let region = region.or_else(|| variable("AWS_DEFAULT_REGION"));
    let upstream = Upstream::new(&upstream, region.as_deref())?;
    let credentials = Credentials::from_environment(variable);
    if credentials.is_none() {
        let message = "requests are not signed: neither AWS_BEARER_TOKEN_BEDROCK nor AWS_ACCESS_KEY_ID and \
                       AWS_SECRET_ACCESS_KEY are set. `aws configure export-credentials --format env` prints them.";
        writeln!(io::stderr(), "bedrock-emulator: {message}")?;
    }
    let config = RecorderConfig { listen, upstream, credentials, into, report: Arc::new(report) };
    let recorder = Recorder::start(config).await?;
    crate::until_stopped(&recorder.endpoint(), false).await?;
    recorder.stop().await;
    Ok(())
}

fn report(recorded: &Recorded) {
    let _ = match recorded {
        Recorded::Saved(path) => writeln!(io::stdout(), "saved {}", path.display()),
        Recorded::Lost { path, why } => writeln!(io::stderr(), "bedrock-emulator: {path} is not recorded: {why}"),
    };
}
