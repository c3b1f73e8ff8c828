//! Outcrop as it is operated: with what an operator switches on, or with a part of it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Failure,
    process::{Program, part},
    upstream::{ANSWERS, Upstream},
};

/// The share of traces that are sent to the collector.
const TRACED: &str = "0.01";

/// Limits that the load stays below, so that they are checked and refuse nothing.
const STREAMS: &str = "20000";
const CALLER: &str = "
max_streams = 20000
requests_per_minute = 1000000
tokens_per_minute = 1000000000
";

const BUDGET: &str = "
[caller.budget]
tokens_per_day = 1000000000000
cost_per_month = 1000000000
";

/// What is switched on. Nothing by default.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the server")]
pub(crate) struct Features {
    /// A caller with an API key, limits of its own, and the models that it may use.
    pub(crate) identity: bool,
    /// Its budget in tokens and in money, with the prices of the models. Needs a caller.
    pub(crate) budget: bool,
    /// A quota of each model.
    pub(crate) quota: bool,
    /// The port for metrics.
    pub(crate) metrics: bool,
    /// One trace of a hundred, and the metrics, to a collector.
    pub(crate) collector: bool,
    /// The log of each call, at the level `info`, to a file.
    pub(crate) log: bool,
    /// The audit log.
    pub(crate) audit: bool,
    /// TLS to callers.
    pub(crate) tls: bool,
}

impl Features {
    /// What an operator switches on. TLS is a matter of the row.
    pub(crate) const OPERATED: Self = Self {
        identity: true,
        budget: true,
        quota: true,
        metrics: true,
        collector: true,
        log: true,
        audit: false,
        tls: false,
    };
}

/// A folder with a key of a caller, a certificate and the configuration. Dropping it removes the folder.
#[derive(Debug)]
pub(crate) struct Operated {
    program: PathBuf,
    folder: PathBuf,
    /// The line of the configuration that has the hash of the key.
    hash: String,
    /// The API key of the caller.
    pub(crate) key: String,
    collector: Program,
    /// Further arguments of the server.
    arguments: Vec<String>,
}

impl Drop for Operated {
    fn drop(&mut self) {
        // A folder for temporary files can keep it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Operated {
    /// Makes the folder, the key and the certificate with this program of the server, and starts a collector.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn new(program: &Path) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("outcrop-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let collector = Program::start(&mut part("collector")?)?;
        let (program, hash, key) = (program.to_owned(), String::new(), String::new());
        let mut operated = Self { program, folder, hash, key, collector, arguments: Vec::new() };
        let keys = operated.run(&["keys", "new", "--caller", "bench"])?;
        let key = keys.stdout.split_whitespace().find(|word| word.starts_with("oc_")).ok_or("no key was made")?;
        key.clone_into(&mut operated.key);
        let hash = keys.stderr.lines().map(str::trim).find(|line| line.starts_with("{ id = "));
        let hash = hash.ok_or("no line for the configuration was printed")?.trim_end_matches(',');
        hash.clone_into(&mut operated.hash);
        operated.run(&["tls", "self-signed", "--out", &operated.folder.to_string_lossy()])?;
        Ok(operated)
    }

    /// The same with further arguments of the server.
    pub(crate) fn with(mut self, arguments: Vec<String>) -> Self {
        self.arguments = arguments;
        self
    }

    fn run(&self, arguments: &[&str]) -> Result<Printed, Failure> {
        let output = Command::new(&self.program).args(arguments).output();
        let output = output.map_err(|error| format!("{} does not run: {error}", self.program.display()))?;
        let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        if !output.status.success() {
            return Err(format!("{} {arguments:?}: {stderr}", self.program.display()).into());
        }
        Ok(Printed { stdout, stderr })
    }

    /// The certificate of the server.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    /// The key of the certificate.
    pub(crate) fn private_key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// A file for the certificate of the upstream.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    fn configuration(&self, features: Features) -> Result<PathBuf, Failure> {
        let models: Vec<_> = ANSWERS.iter().map(|answer| answer.model()).collect();
        let mut text = String::new();
        for model in models.iter().filter(|_| features.quota) {
            let limits = "tokens_per_minute = 1000000000\nrequests_per_minute = 1000000";
            writeln!(text, "[[quota]]\nmodel = {model:?}\nregion = \"us-east-1\"\n{limits}")?;
        }
        for model in models.iter().filter(|_| features.budget) {
            writeln!(text, "[price.{model:?}]\ninput = 3\noutput = 15")?;
        }
        if features.identity || features.budget {
            writeln!(text, "[[caller]]\nname = \"bench\"\nkeys = [{}]\nmodels = {models:?}{CALLER}", self.hash)?;
        }
        if features.budget {
            text += BUDGET;
        }
        let path = self.folder.join("outcrop.toml");
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Starts the server.
    ///
    /// # Errors
    /// If it does not start. The file `log` of the folder says why, and its last lines are in the error.
    pub(crate) fn start(&self, features: Features, upstream: &Upstream) -> Result<Program, Failure> {
        let log = self.folder.join("log");
        let any = SocketAddr::from(([127, 0, 0, 1], 0)).to_string();
        let mut command = part("program")?;
        command
            .arg(&self.program)
            .args(["serve", "--bedrock-api", "--listen", &any, "--config"])
            .arg(self.configuration(features)?)
            .args([
                "--max-connections-per-address",
                "1000",
                "--max-streams",
                STREAMS,
                "--max-streams-per-caller",
                STREAMS,
            ])
            .args(["--log", if features.log { "info" } else { "error" }])
            .stderr(fs::File::create(&log)?);
        if features.metrics {
            command.args(["--metrics-listen", &any]);
        }
        if features.collector {
            command.arg("--otlp-endpoint").arg(format!("http://{}", self.collector.address));
            command.args(["--trace-sample-ratio", TRACED]);
        }
        if features.audit {
            command.arg("--audit-log").arg(self.folder.join("audit"));
        }
        if features.tls {
            command.arg("--tls-cert").arg(self.certificate()).arg("--tls-key").arg(self.private_key());
        }
        command.args(&self.arguments);
        Program::start(upstream.called_by(&mut command))
            .map_err(|error| format!("{error}\n{}", fs::read_to_string(log).unwrap_or_default()).into())
    }
}

struct Printed {
    stdout: String,
    stderr: String,
}
