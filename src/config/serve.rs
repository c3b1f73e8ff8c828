//! The flags of `outcrop serve`, and how they become settings.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    AccessArgs, AccountArgs, ApiArgs, ConnectionArgs, ConversationArgs, LOCAL_MODEL, LOG, Layers, LimitArgs, QuotaArgs,
    Settings, TelemetryArgs, TimeArgs, TlsArgs, access::Listening, identity, problems::Problems, quotas::Around,
};
use crate::{
    bedrock::{EMULATED_REGION, UpstreamSettings},
    edge::host,
    error::ConfigError,
    request::Rules,
    telemetry::logs,
};

/// The memory for requests is at least this many times the largest request, which is in memory encoded and decoded, and a client can have half
/// of the memory.
const MEMORY_OF_LARGEST: usize = 8;

/// Whether the help leaves out the flags about the emulator, which a build without it refuses.
const NO_EMULATOR: bool = cfg!(not(feature = "emulator"));

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The configuration file. Flags and environment variables replace its values
    #[arg(long, env = "OUTCROP_CONFIG", value_name = "FILE", help_heading = "Server")]
    pub config: Option<String>,
    /// Address or host name, and port to listen on; port 0 selects a free port
    #[arg(
        long,
        env = "OUTCROP_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS",
        help_heading = "Server"
    )]
    pub listen: String,
    /// Do not serve the web page
    #[arg(long, env = "OUTCROP_NO_PAGE", help_heading = "Server")]
    pub no_page: bool,
    /// A host name under which browsers can call the server, NAME or NAME:PORT. IP addresses and localhost are always allowed. Repeatable;
    /// in the environment names are separated by `,`
    #[arg(
        long = "allowed-host",
        env = "OUTCROP_ALLOWED_HOSTS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub allowed_hosts: Vec<String>,
    /// Address and port of the Prometheus endpoint /metrics [default: none]
    #[arg(long, env = "OUTCROP_METRICS_LISTEN", value_name = "ADDRESS", help_heading = "Server")]
    pub metrics_listen: Option<String>,
    /// Answer from a Bedrock emulator in this process instead of AWS
    #[arg(long, env = "OUTCROP_LOCAL", hide = NO_EMULATOR, help_heading = "Emulator")]
    pub local: bool,
    /// With --local: a folder of script files; `name.json` becomes the model `emulator.name`
    #[arg(long, env = "OUTCROP_SCRIPTS", value_name = "FOLDER", hide = NO_EMULATOR, help_heading = "Emulator")]
    pub scripts: Option<PathBuf>,
    /// With --local: a folder of recordings; `folder/name.json` becomes the model `recording.folder/name`
    #[arg(long, env = "OUTCROP_RECORDINGS", value_name = "FOLDER", hide = NO_EMULATOR, help_heading = "Emulator")]
    pub recordings: Option<PathBuf>,
    /// The AWS region [default: from the standard chain, such as `AWS_REGION`]
    #[arg(long, env = "OUTCROP_REGION", help_heading = "Models")]
    pub region: Option<String>,
    /// The model or route of requests that name none [default with --local: emulator.default]
    #[arg(long, env = "OUTCROP_DEFAULT_MODEL", value_name = "MODEL", help_heading = "Models")]
    pub default_model: Option<String>,
    /// A route, NAME=TARGET,TARGET, whose targets are tried in this order. A target is MODEL, MODEL@REGION, @REGION or another route.
    /// Repeatable; in the environment routes are separated by `;`
    #[arg(
        long = "route",
        env = "OUTCROP_ROUTES",
        value_name = "ROUTE",
        value_delimiter = ';',
        help_heading = "Models"
    )]
    pub routes: Vec<String>,
    /// The maximum number of attempts of a call, including the first. All are made before its first content
    #[arg(long, env = "OUTCROP_ATTEMPTS", default_value = "3", value_name = "NUMBER", help_heading = "Models")]
    pub attempts: String,
    /// The maximum size of a request message, in bytes
    #[arg(
        long,
        env = "OUTCROP_MAX_REQUEST_BYTES",
        default_value = "33554432",
        value_name = "BYTES",
        help_heading = "Requests"
    )]
    pub max_request_bytes: String,
    /// The maximum memory of all requests from their first byte until their first content, in bytes. At least 8 times --max-request-bytes
    #[arg(
        long,
        env = "OUTCROP_MAX_REQUEST_MEMORY",
        default_value = "536870912",
        value_name = "BYTES",
        help_heading = "Requests"
    )]
    pub max_request_memory: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub account: AccountArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub time: TimeArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub limits: LimitArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub quotas: QuotaArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub connections: ConnectionArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub conversations: ConversationArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub access: AccessArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub api: ApiArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub tls: TlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take them for the help of the group")]
    pub telemetry: TelemetryArgs,
}

impl ServeArgs {
    /// Parses the flags into settings. `layers` tell where their values come from.
    ///
    /// # Errors
    /// All problems.
    pub fn resolve(self, layers: &Layers) -> Result<Settings, ConfigError> {
        let mut problems = Problems::new(layers);
        let reads_files = !layers.of_running_server;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = problems.address("--listen", &self.listen).unwrap_or(free);
        // An empty value counts as unset, because compose files set empty variables.
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let metrics_listen = set(&self.metrics_listen).and_then(|at| problems.address("--metrics-listen", &at));
        let max_request_bytes = self.max_request_bytes(&mut problems);
        let max_request_memory = self.max_request_memory(max_request_bytes, &mut problems);
        let attempts = problems.at_least_one("--attempts", &self.attempts);
        let default_model = set(&self.default_model).or_else(|| self.local.then(|| LOCAL_MODEL.to_owned()));
        let models = self.models(layers.file.as_ref(), attempts, default_model.as_deref(), &mut problems);
        let timeouts = self.time.timeouts(&mut problems);
        let limits = self.limits.limits(&mut problems);
        let identity = identity::resolve(layers.file.as_ref(), &models.names, &limits, &mut problems);
        let home = self.home(layers);
        let (routes, names, default) = (&models.routes, &models.names, default_model.as_deref());
        let around = Around { routes, names, default_model: default, home: home.as_deref() };
        let quotas = self.quotas.quotas(layers.file.as_ref(), &around, &mut problems);
        let listening = Listening { calls: listen, metrics: metrics_listen };
        self.access.guard(&listening, &identity, &mut problems);
        self.tls.guard(&listening, &mut problems);
        self.check_certificates(layers, &mut problems);
        let page_login = self.access.page_login(!self.no_page, &listening, &identity, &mut problems);
        let settings = Settings {
            log: log(layers, &mut problems),
            log_format: self.telemetry.log_format(&mut problems),
            listen,
            page: !self.no_page,
            page_login,
            identity,
            allowed_hosts: self.allowed_hosts(&mut problems),
            metrics_listen,
            upstream: self.upstream(set(&self.region), &mut problems),
            rules: Rules { default_model, routes: models.routes, aliases: models.aliases, timeouts },
            max_request_bytes,
            max_request_memory,
            body_timeout: self.time.body_timeout(&mut problems),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            list_account_models: self.account.list_account_models,
            bedrock_api: self.api.bedrock_api,
            signing: self.api.secrets(reads_files, &mut problems),
            limits,
            quotas,
            share_limits: self.quotas.share_limits(&mut problems),
            conversations: self.conversations.storage(self.local, reads_files, &mut problems),
            conversation_bounds: self.conversations.bounds(&mut problems),
            max_conversations: self.conversations.most(&mut problems),
            max_stored_bytes: self.conversations.stored_bytes(&mut problems),
            abandonment: self.limits.abandonment(&mut problems),
            unread_timeout: self.time.unread_timeout(&mut problems),
            shutdown: self.time.shutdown(&mut problems),
            connections: self.connections.connections(&mut problems),
            audit: self.access.audit(reads_files, &mut problems),
            insecure_no_auth: self.access.insecure_no_auth,
            proxies: self.access.proxies(&mut problems),
            open_reflection: self.access.open_reflection(&mut problems),
            tls: self.tls.tls(reads_files, &mut problems),
            otlp: self.telemetry.otlp(layers, &mut problems),
        };
        problems.verdict(settings)
    }

    /// The region of the server, if it is known: a running server knows it, and otherwise the chain of AWS may find it later.
    fn home(&self, layers: &Layers) -> Option<String> {
        let emulated = self.local.then(|| EMULATED_REGION.to_owned());
        let given = self.region.clone().filter(|region| !region.is_empty());
        layers.home.clone().or(emulated).or(given)
    }

    /// Refuses names of certificates if clients show none.
    fn check_certificates(&self, layers: &Layers, problems: &mut Problems) {
        let Self { tls, access, .. } = self;
        if !tls.asks_clients() {
            access.refuse_certificates(problems);
            if !access.forwarded_client_certs {
                identity::refuse_certificates(layers.file.as_ref(), problems);
            }
        }
    }

    fn max_request_bytes(&self, problems: &mut Problems) -> usize {
        let bytes = problems.at_least_one("--max-request-bytes", &self.max_request_bytes);
        // gRPC writes the length of a message in 32 bits.
        if u32::try_from(bytes).is_err() {
            problems.add(format!("--max-request-bytes is {bytes}; it must be at most {}", u32::MAX));
        }
        bytes
    }

    fn max_request_memory(&self, max_request_bytes: usize, problems: &mut Problems) -> usize {
        let memory = problems.at_least_one("--max-request-memory", &self.max_request_memory);
        let least = max_request_bytes.saturating_mul(MEMORY_OF_LARGEST);
        if memory > 0 && memory < least {
            problems.add(format!(
                "--max-request-memory is {memory}; it must be at least {MEMORY_OF_LARGEST} times --max-request-bytes ({least}), so that a request of that size is served. Raise one or lower the other"
            ));
        }
        memory
    }

    fn allowed_hosts(&self, problems: &mut Problems) -> Vec<String> {
        let names = self.allowed_hosts.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        let (valid, wrong): (Vec<_>, Vec<_>) = names.partition(|name| host::is_host(name));
        for name in wrong {
            problems.add(format!(
                "--allowed-host is {name:?}; it must be a host name with or without a port, such as chat.example or chat.example:8443"
            ));
        }
        valid.into_iter().map(str::to_owned).collect()
    }

    fn upstream(&self, region: Option<String>, problems: &mut Problems) -> UpstreamSettings {
        let Self { local, scripts, recordings, .. } = self;
        for (flag, folder) in [("--scripts", scripts), ("--recordings", recordings)] {
            let Some(folder) = folder else { continue };
            if !local {
                problems.add(format!("{flag} applies only to the emulator. Add --local, or leave it out"));
            } else if !folder.is_dir() {
                problems.add(format!("{flag} is {}, which is not a folder. Name an existing folder", folder.display()));
            }
        }
        if *local && region.is_some() {
            problems.add("--region applies only to AWS. Leave it out, or leave --local out");
        }
        if *local {
            UpstreamSettings::Local { scripts: scripts.clone(), recordings: recordings.clone() }
        } else {
            UpstreamSettings::Aws { region }
        }
    }
}

/// The filter of log lines.
fn log(layers: &Layers, problems: &mut Problems) -> String {
    let log = layers.value("log").unwrap_or(LOG).to_owned();
    if let Err(problem) = logs::check(&log) {
        problems.add(format!("--log is {log:?}, {problem}"));
    }
    log
}
