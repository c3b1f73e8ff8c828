//! Command line and environment -> settings. [`Cli`] holds the arguments as typed; a second step turns them into
//! [`Settings`] and reports every problem at once, before anything is bound.
//!
//! - `serve` the flags of `outcrop serve`, and how they become settings
//! - `time`, `limits` the flags about time, and about how much
//! - `connections` the flags about connections
//! - `conversations` the flags about what is kept
//! - `problems` what is wrong with them

mod admission;
mod connections;
mod conversations;
mod problems;
mod serve;
mod timeouts;

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};

pub use self::{
    admission::LimitArgs, connections::ConnectionArgs, conversations::ConversationArgs, problems::ConfigError,
    serve::ServeArgs, timeouts::TimeArgs,
};
pub use crate::edge::connection::ConnectionSettings;
use crate::{
    admission::LimitSettings,
    bedrock::UpstreamSettings,
    conversation::{bounds::Bounds, place::ConversationSettings},
    request::Rules,
    response::abandoned::AbandonmentSettings,
    shutdown::steps::ShutdownSettings,
};

/// The default model of a server that answers from the emulator.
const LOCAL_MODEL: &str = "emulator.default";

/// One typed, server-streaming gRPC method in front of Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(name = "outcrop", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log filter for standard error, such as `info` or `outcrop=debug,warn`
    #[arg(long, env = "OUTCROP_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub log: String,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Generate over gRPC
    Serve(Box<ServeArgs>),
    /// Start emulator, server and client in this process, answer one prompt, and exit
    Demo {
        /// The prompt
        prompt: String,
    },
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether the web page is served too.
    pub page: bool,
    /// The names, besides IP addresses and localhost, by which a browser may call the server: `NAME` or `NAME:PORT`.
    pub allowed_hosts: Vec<String>,
    /// Where to serve metrics, if they are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Where answers come from.
    pub upstream: UpstreamSettings,
    /// What requests are checked against.
    pub rules: Rules,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The memory that requests may take together, in bytes.
    pub max_request_memory: usize,
    /// How long a caller may pause while it sends the message of a request.
    pub body_timeout: Duration,
    /// The most attempts of a call, including the first.
    pub attempts: u32,
    /// Concurrency limits and rate limits.
    pub limits: LimitSettings,
    /// Where conversations are stored.
    pub conversations: ConversationSettings,
    /// How much of each conversation is stored.
    pub conversation_bounds: Bounds,
    /// The most conversations of an owner.
    pub max_conversations: u64,
    /// The most bytes of the conversations of an owner.
    pub max_stored_bytes: u64,
    /// What happens to a call whose caller leaves.
    pub abandonment: AbandonmentSettings,
    /// How long a call may wait for its caller to read.
    pub unread_timeout: Duration,
    /// The steps of a graceful shutdown.
    pub shutdown: ShutdownSettings,
    /// The limits and timeouts of connections.
    pub connections: ConnectionSettings,
}

impl Settings {
    /// A server on a free loopback port that answers from the emulator. The environment is not read.
    pub fn local() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            page: true,
            allowed_hosts: Vec::new(),
            metrics_listen: None,
            upstream: UpstreamSettings::Local { scripts: None, recordings: None },
            rules: Rules { default_model: Some(LOCAL_MODEL.to_owned()), ..Rules::default() },
            max_request_bytes: 32 << 20,
            max_request_memory: 512 << 20,
            body_timeout: Duration::from_secs(30),
            attempts: 3,
            limits: LimitSettings::default(),
            conversations: ConversationSettings::Memory,
            conversation_bounds: Bounds::default(),
            max_conversations: 100_000,
            max_stored_bytes: 16 << 30,
            abandonment: AbandonmentSettings::default(),
            unread_timeout: Duration::from_mins(5),
            shutdown: ShutdownSettings::default(),
            connections: ConnectionSettings::default(),
        }
    }

    /// The longest connect timeout that any call may have.
    pub fn max_connect(&self) -> Duration {
        self.rules.timeouts.max.connect
    }
}

#[cfg(test)]
mod tests;
