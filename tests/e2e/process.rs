//! The program as a process of its own: its log, its memory and its files are its own too.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use bedrock_emulator::{Config, Emulator};
use outcrop_client::Client;

use crate::harness::metric;

/// The program in an environment with nothing in it.
pub(crate) fn outcrop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcrop"));
    // The metadata service of EC2 is the last of the chain, and does not answer here.
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent").args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(command: &mut Command) -> (String, String, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

/// A running server, killed if the test fails.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) endpoint: String,
    /// Where its metrics are, if they are served.
    pub(crate) metrics: Option<SocketAddr>,
}

impl Serving {
    /// With the emulator in it.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::listening(&mut outcrop(&[&["serve", "--local", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    pub(crate) fn listening(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut address = |what: &str| {
            let line = lines.next().unwrap_or_else(|| panic!("{what}ADDRESS is not printed")).unwrap();
            line.strip_prefix(what).unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let endpoint = format!("http://{}", address("listening on "));
        let has_metrics = command.get_args().any(|argument| argument == "--metrics-listen");
        let metrics = has_metrics.then(|| address("metrics on ").parse().unwrap());
        Self { child, endpoint, metrics }
    }

    /// CPU time used so far, in ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server as it runs in earnest: Bedrock is somewhere else, behind TLS and HTTP/2, with a hundred streams on a connection.
pub(crate) struct Remote {
    pub(crate) emulator: Emulator,
    pub(crate) serving: Serving,
    metrics: SocketAddr,
    certificate: PathBuf,
}

impl Remote {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    pub(crate) async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_program(outcrop(&[]), arguments, environment).await
    }

    /// With limits as the shell sets them, such as `ulimit -n 256`.
    pub(crate) async fn start_within(limits: &str, arguments: &[&str]) -> Self {
        let program = outcrop(&[]);
        let mut shell = Command::new("sh");
        shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_program(shell, arguments, &[]).await
    }

    async fn start_program(mut command: Command, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, tls: true, max_concurrent_streams: Some(100), ..Config::default() };
        let emulator = Emulator::start(config).await.unwrap();
        // The port names this emulator, and so its certificate.
        let certificate = std::env::temp_dir().join(format!("outcrop-test-{}.pem", emulator.address().port()));
        std::fs::write(&certificate, emulator.certificate().unwrap()).unwrap();
        let own = ["serve", "--listen", "127.0.0.1:0", "--log", "off", "--metrics-listen", "127.0.0.1:0"];
        // All callers of a test have one address.
        let own = [&own[..], &["--max-streams-per-caller", "100000"]].concat();
        command.args([&own[..], arguments].concat());
        command.envs([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &emulator.endpoint()),
            ("SSL_CERT_FILE", &certificate.to_string_lossy()),
        ]);
        command.envs(environment.iter().copied());
        let serving = Serving::listening(&mut command);
        Self { metrics: serving.metrics.unwrap(), serving, emulator, certificate }
    }

    /// As many callers as are wanted, each on a connection of its own.
    pub(crate) async fn clients(&self, number: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..number {
            clients.push(Client::connect(&self.serving.endpoint).await.unwrap());
        }
        clients
    }

    /// The sum of a metric over all lines that hold these labels.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let mut connection = TcpStream::connect(self.metrics).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        metric(&std::io::read_to_string(connection).unwrap(), name, labels)
    }

    /// Waits until no stream is left, neither here nor upstream.
    pub(crate) async fn quiet(&self) {
        while self.count("streams_running", &[]) + self.count("drains_running", &[]) + self.emulator.stats().running()
            > 0
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The server's resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The most that it ever was.
    pub(crate) fn peak(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.serving.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// CPU time that the server has used, in ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        self.serving.ticks()
    }

    /// How many files the server has open.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.serving.child.id())).unwrap().count()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
    }
}
