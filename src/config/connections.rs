//! The flags about connections.

use clap::Args;

use super::{ConnectionSettings, problems::Problems};
use crate::edge::descriptors;

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// The maximum number of open connections. Further ones are closed at once [default: three quarters of the limit of open files, at
    /// most 10000]
    #[arg(long, env = "OUTCROP_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub max_connections: Option<String>,
    /// The maximum number of open connections of one client address [default: half of --max-connections]
    #[arg(long, env = "OUTCROP_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub max_connections_per_address: Option<String>,
    /// The maximum number of concurrent streams of one connection. The client waits before it sends further calls
    #[arg(long, env = "OUTCROP_MAX_STREAMS_PER_CONNECTION", default_value = "1000", value_name = "NUMBER")]
    pub max_streams_per_connection: String,
    /// The time after which a connection without a request in flight is closed
    #[arg(long, env = "OUTCROP_CONNECTION_IDLE_TIMEOUT", default_value = "10m", value_name = "DURATION")]
    pub connection_idle_timeout: String,
    /// The age at which a connection accepts no new calls, which balances load over several servers. It varies by 10% [default: none]
    #[arg(long, env = "OUTCROP_MAX_CONNECTION_AGE", value_name = "DURATION")]
    pub max_connection_age: Option<String>,
}

impl ConnectionArgs {
    pub(super) fn connections(&self, problems: &mut Problems) -> ConnectionSettings {
        let defaults = ConnectionSettings::default();
        let max = problems.some_at_least_one("--max-connections", self.max_connections.as_deref());
        let files = descriptors::limit();
        let possible = descriptors::connections(files);
        if let Some(max) = max.filter(|max| *max > possible) {
            problems.add(format!(
                "--max-connections is {max}; the limit of {files} open files allows {possible}. Raise it (ulimit -n) or lower the flag"
            ));
        }
        let max = max.unwrap_or(defaults.max);
        let flag = "--max-connections-per-address";
        let per_address = problems.some_at_least_one(flag, self.max_connections_per_address.as_deref());
        let streams = problems.at_least_one("--max-streams-per-connection", &self.max_streams_per_connection);
        let age = self.max_connection_age.as_deref().filter(|age| !age.is_empty());
        ConnectionSettings {
            max,
            max_per_address: per_address.unwrap_or(ConnectionSettings::share(max)),
            max_streams: u32::try_from(streams).unwrap_or(u32::MAX),
            idle_timeout: problems.duration("--connection-idle-timeout", &self.connection_idle_timeout, false),
            max_age: age.map(|age| problems.duration("--max-connection-age", age, false)),
            ..defaults
        }
    }
}
