//! Command line, environment and configuration file. [`Cli`] has the flags as strings. A second step parses them into [`Settings`] and reports
//! all problems at once, before a port is bound.
//!
//! - `serve` the flags of `outcrop serve`
//! - `timeouts`, `admission`, `connections`, `conversations`, `access`, `account`, `tls`, `telemetry` groups of flags
//! - `check` what `serve` and `check` begin with
//! - `layers` puts flags, environment, file and defaults together
//! - `flags` the flags as clap describes them
//! - `local` what `--local` needs
//! - `listing` prints all settings: those in force, and the sample of the file
//! - `file` the configuration file
//! - `identity` checks callers and issuers
//! - `quotas` the flags of the waiting for quota, and the checks of quotas, prices and budgets
//! - `models` routes and aliases
//! - `origin` where each value comes from
//! - `problems` parses values and collects problems
//! - `variables` finds misspelt variables, and `standard` names those of OpenTelemetry
//! - `reload` reads the file again when it changes

mod access;
mod account;
mod admission;
mod api;
mod check;
mod connections;
mod conversations;
mod file;
mod flags;
mod identity;
mod layers;
mod listing;
mod local;
mod models;
mod origin;
mod problems;
mod quotas;
mod reload;
mod serve;
mod standard;
mod telemetry;
mod timeouts;
mod tls;
mod variables;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

pub(crate) use self::file::caller_name;
pub use self::{
    access::AccessArgs,
    account::AccountArgs,
    admission::LimitArgs,
    api::ApiArgs,
    check::Checked,
    connections::ConnectionArgs,
    conversations::ConversationArgs,
    layers::{Inputs, Layers},
    listing::{in_force, sample},
    quotas::{QuotaArgs, quota_warnings},
    reload::{Change, Watcher},
    serve::ServeArgs,
    telemetry::TelemetryArgs,
    timeouts::TimeArgs,
    tls::TlsArgs,
};
pub use crate::edge::{
    authentication::proxies::ProxySettings,
    connection::ConnectionSettings,
    tls::{ClientCertificateSettings, TlsSettings},
};
use crate::{
    admission::LimitSettings,
    audit::AuditSettings,
    bedrock::UpstreamSettings,
    commands::tls::TlsCommand,
    conversation::{bounds::Bounds, settings::ConversationSettings},
    identity::{settings::IdentitySettings, signing::SigningSecrets},
    quota::settings::QuotaSettings,
    request::Rules,
    response::abandoned::AbandonmentSettings,
    shutdown::steps::ShutdownSettings,
    telemetry::{logs::LogFormat, otlp::settings::OtlpSettings},
};

/// The default model with `--local`.
const LOCAL_MODEL: &str = "emulator.default";

/// The default filter of log lines.
const LOG: &str = "info";

/// One typed, server-streaming gRPC method in front of Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(name = "outcrop", version)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Log filter for standard error, such as `info` or `outcrop=debug,warn`
    #[arg(long, env = "OUTCROP_LOG", default_value = LOG, global = true, value_name = "FILTER", help_heading = "Server")]
    pub log: String,
}

/// A command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gRPC server
    Serve(Box<ServeArgs>),
    /// Make certificates to try TLS
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Check the settings of `serve`, and what they need, without serving
    Check(Box<ServeArgs>),
    /// Print the settings of `serve` as a configuration file, and where each comes from
    Config {
        #[command(flatten)]
        #[expect(missing_docs, reason = "clap would take them for the help of the group")]
        args: Box<ServeArgs>,
        /// Print a configuration file with every setting and its default instead
        #[arg(long)]
        sample: bool,
    },
    /// Start emulator, server and client in this process, answer one prompt, and exit
    #[cfg_attr(not(feature = "emulator"), command(hide = true))]
    Demo {
        /// The prompt
        prompt: String,
    },
    /// API keys of callers
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// A command about API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key: print it once, and print the line for the configuration file, which has only its hash
    New {
        /// The name of the caller
        #[arg(long, value_name = "NAME")]
        caller: String,
        /// The time after which the key is refused, such as 90days [default: never]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
        /// Also make an AWS key pair of the key, with which an AWS SDK signs its calls to the Bedrock API. It is written after the key, and the
        /// line of the server is appended to this file, for --sigv4-keys
        #[arg(long, value_name = "FILE")]
        sigv4: Option<PathBuf>,
        /// Write the key to this new file, which only its owner can read, instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// The settings of a server.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own, which is on or off")]
pub struct Settings {
    /// The filter of log lines.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether the web page is served.
    pub page: bool,
    /// The caller whose page a link opens that works once. The server listens on a loopback address.
    pub page_login: Option<String>,
    /// The host names under which browsers can call the server, besides IP addresses and localhost: `NAME` or `NAME:PORT`.
    pub allowed_hosts: Vec<String>,
    /// The address of the metrics, if they are served.
    pub metrics_listen: Option<SocketAddr>,
    /// AWS or the emulator.
    pub upstream: UpstreamSettings,
    /// The rules of the request check.
    pub rules: Rules,
    /// The maximum size of a request, in bytes.
    pub max_request_bytes: usize,
    /// The maximum memory of all requests, in bytes.
    pub max_request_memory: usize,
    /// The time for which a caller may send nothing in the middle of a request message.
    pub body_timeout: Duration,
    /// The maximum number of attempts of a call, including the first.
    pub attempts: u32,
    /// Whether ListModels also lists the models and inference profiles of the AWS account.
    pub list_account_models: bool,
    /// Whether the Bedrock Runtime API is served too.
    pub bedrock_api: bool,
    /// The secrets of callers who sign their calls to it.
    pub signing: SigningSecrets,
    /// Concurrency limits and rate limits.
    pub limits: LimitSettings,
    /// The quotas of models, their prices, and the waiting for them.
    pub quotas: QuotaSettings,
    /// Whether servers whose conversations are in one Redis share quotas, budgets and the limits of callers.
    pub share_limits: bool,
    /// Where conversations are stored.
    pub conversations: ConversationSettings,
    /// The bounds of what is stored of a conversation.
    pub conversation_bounds: Bounds,
    /// The maximum number of conversations of an owner.
    pub max_conversations: u64,
    /// The maximum number of bytes of the conversations of an owner.
    pub max_stored_bytes: u64,
    /// What happens to abandoned calls.
    pub abandonment: AbandonmentSettings,
    /// The time for which a caller may read nothing although there is more to read.
    pub unread_timeout: Duration,
    /// The steps of a graceful shutdown.
    pub shutdown: ShutdownSettings,
    /// The limits and timeouts of connections.
    pub connections: ConnectionSettings,
    /// Who may call the server.
    pub identity: IdentitySettings,
    /// Whether all clients are served on purpose. It is logged at each start.
    pub insecure_no_auth: bool,
    /// The audit log, if there is one.
    pub audit: Option<AuditSettings>,
    /// The proxies whose word about their clients is taken.
    pub proxies: ProxySettings,
    /// Whether all clients may call server reflection. `None`: if the server listens on a loopback address, or has no callers.
    pub open_reflection: Option<bool>,
    /// The encryption of connections, if there is one.
    pub tls: Option<TlsSettings>,
    /// Where traces and metrics are sent, if they are.
    pub otlp: Option<OtlpSettings>,
}

impl Settings {
    /// A server on a free loopback port that answers from the emulator. The environment is not read.
    pub fn local() -> Self {
        Self {
            log: LOG.to_owned(),
            log_format: LogFormat::Text,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            page: true,
            page_login: None,
            allowed_hosts: Vec::new(),
            metrics_listen: None,
            upstream: UpstreamSettings::Local { scripts: None, recordings: None },
            rules: Rules { default_model: Some(LOCAL_MODEL.to_owned()), ..Rules::default() },
            max_request_bytes: 32 << 20,
            max_request_memory: 512 << 20,
            body_timeout: Duration::from_secs(30),
            attempts: 3,
            list_account_models: false,
            bedrock_api: false,
            signing: SigningSecrets::default(),
            limits: LimitSettings::default(),
            quotas: QuotaSettings::default(),
            share_limits: true,
            conversations: ConversationSettings::Memory,
            conversation_bounds: Bounds::default(),
            max_conversations: 100_000,
            max_stored_bytes: 16 << 30,
            abandonment: AbandonmentSettings::default(),
            unread_timeout: Duration::from_mins(5),
            shutdown: ShutdownSettings::default(),
            connections: ConnectionSettings::default(),
            identity: IdentitySettings::default(),
            insecure_no_auth: false,
            audit: None,
            proxies: ProxySettings::default(),
            open_reflection: None,
            tls: None,
            otlp: None,
        }
    }

    /// The maximum connect timeout of a call.
    pub fn max_connect(&self) -> Duration {
        self.rules.timeouts.max.connect
    }
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
