//! A server on an emulator, and runs of the program.

use std::{future::pending, process::Stdio, time::Duration};

use bedrock_emulator::{Config, Emulator};
use outcrop::{app::App, bedrock::Bedrock, config::Settings};
use tokio::{io::AsyncWriteExt, process::Command, task::JoinSet, time::timeout};

/// Longer than anything here may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) emulator: Emulator,
    pub(crate) port: u16,
    _serving: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        Self::with(config, |_| ()).await
    }

    /// A server with other settings.
    pub(crate) async fn with(config: Config, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::local();
        change(&mut settings);
        settings.attempts = 1;
        let emulator = Emulator::start(config).await.unwrap();
        let bedrock = Bedrock::emulated(&emulator.endpoint(), settings.max_connect()).unwrap();
        let app = App::build(&settings, bedrock).await.unwrap();
        let port = app.address().port();
        let mut serving = JoinSet::new();
        serving.spawn(async {
            app.run(pending(), pending()).await;
        });
        Self { emulator, port, _serving: serving }
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        client(&format!("http://127.0.0.1:{}", self.port), arguments)
    }
}

/// The program with an empty environment, without input, and with pipes for what it writes.
pub(crate) fn client(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcrop-client"));
    command.env_clear().args(["--endpoint", endpoint]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Standard output, standard error, exit code. The input comes from a pipe.
pub(crate) async fn run(mut command: Command, input: &str) -> (String, String, Option<i32>) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = timeout(TIMEOUT, child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}
