//! Command line and environment -> settings. What was typed ([`Cli`]) is turned into what is meant ([`Settings`]) in a
//! second step, which reports every problem at once and before anything is bound.
//!
//! - `serve` the flags of `outcrop serve`, and how they become settings
//! - `time`, `limits` the flags about time, and about how much
//! - `conversations` the flags about what is kept
//! - `problems` what is wrong with them

mod admission;
mod conversations;
mod problems;
mod serve;
mod timeouts;

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};

pub use self::{
    admission::LimitArgs, conversations::ConversationArgs, problems::ConfigError, serve::ServeArgs, timeouts::TimeArgs,
};
use crate::{
    admission::LimitSettings,
    bedrock::UpstreamSettings,
    conversation::{ConversationSettings, bounds::Bounds},
    request::Rules,
    response::abandoned::AbandonmentSettings,
    shutdown::steps::ShutdownSettings,
};

/// The default model of a server that answers from an emulator.
const LOCAL_MODEL: &str = "emulator.default";

/// One typed, server-streaming gRPC method in front of Amazon Bedrock.
#[derive(Debug, Parser)]
#[command(name = "outcrop", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which log lines to write to standard error
    #[arg(long, env = "OUTCROP_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub log: String,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Generate over gRPC
    Serve(Box<ServeArgs>),
    /// Start everything on this machine, answer one prompt, and leave
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
    /// Where to serve metrics, if they are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Where answers come from.
    pub upstream: UpstreamSettings,
    /// What requests are checked against.
    pub rules: Rules,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// How often Bedrock is asked for a call at the most, the first time included.
    pub attempts: u32,
    /// How much callers may have.
    pub limits: LimitSettings,
    /// Where conversations are kept.
    pub conversations: ConversationSettings,
    /// How much of them.
    pub conversation_bounds: Bounds,
    /// What becomes of calls whose callers leave.
    pub abandonment: AbandonmentSettings,
    /// How the server ends.
    pub shutdown: ShutdownSettings,
    /// After how long a connection of a caller takes no new calls.
    pub max_connection_age: Option<Duration>,
}

impl Settings {
    /// A server on a free loopback port that answers from an emulator, whatever the environment says.
    pub fn local() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            page: true,
            metrics_listen: None,
            upstream: UpstreamSettings::Local { scripts: None, recordings: None },
            rules: Rules { default_model: Some(LOCAL_MODEL.to_owned()), ..Rules::default() },
            max_request_bytes: 32 << 20,
            attempts: 3,
            limits: LimitSettings::default(),
            conversations: ConversationSettings::Memory,
            conversation_bounds: Bounds::default(),
            abandonment: AbandonmentSettings::default(),
            shutdown: ShutdownSettings { lame_duck: Duration::ZERO, grace: Duration::from_secs(30) },
            max_connection_age: None,
        }
    }

    /// The longest that a connection to Bedrock may take for any call.
    pub fn max_connect(&self) -> Duration {
        self.rules.timeouts.max.connect
    }
}

#[cfg(test)]
mod tests;
