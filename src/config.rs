//! Command line and environment -> settings. What was typed ([`Cli`]) is turned into what is meant ([`Settings`]) in a
//! second step, which reports every problem at once and before anything is bound.
//!
//! Comes first of all; [`crate::app`] is built from the settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::bedrock::CallSettings;

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

/// The flags of `serve`, as typed.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "OUTCROP_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDRESS")]
    pub listen: String,
    /// Answer from a Bedrock emulator inside this process instead of AWS
    #[arg(long, env = "OUTCROP_LOCAL")]
    pub local: bool,
    /// With --local: a folder of script files; `name.json` becomes the model `emulator.name`
    #[arg(long, env = "OUTCROP_SCRIPTS", value_name = "FOLDER")]
    pub scripts: Option<PathBuf>,
    /// With --local: a folder of recordings; `folder/name.json` becomes the model `recording.folder/name`
    #[arg(long, env = "OUTCROP_RECORDINGS", value_name = "FOLDER")]
    pub recordings: Option<PathBuf>,
    /// The AWS region [default: the standard chain, such as `AWS_REGION`]
    #[arg(long, env = "OUTCROP_REGION")]
    pub region: Option<String>,
    /// The model of a request that names none [default with --local: emulator.default]
    #[arg(long, env = "OUTCROP_DEFAULT_MODEL", value_name = "MODEL")]
    pub default_model: Option<String>,
    /// The largest request, in bytes
    #[arg(long, env = "OUTCROP_MAX_REQUEST_BYTES", default_value = "33554432", value_name = "BYTES")]
    pub max_request_bytes: String,
    /// How often a call to Bedrock is made at the most while nothing of it has reached the caller
    #[arg(long, env = "OUTCROP_ATTEMPTS", default_value = "3", value_name = "NUMBER")]
    pub attempts: String,
    /// How long a connection to Bedrock may take
    #[arg(long, env = "OUTCROP_CONNECT_TIMEOUT", default_value = "5s", value_name = "DURATION")]
    pub connect_timeout: String,
    /// How long running streams may go on after SIGTERM or Ctrl-C
    #[arg(long, env = "OUTCROP_GRACE", default_value = "30s", value_name = "DURATION")]
    pub grace: String,
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where answers come from.
    pub upstream: UpstreamSettings,
    /// The model of a request that names none.
    pub default_model: Option<String>,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// How calls to Bedrock are made.
    pub calls: CallSettings,
    /// How long running streams may go on when the server ends.
    pub grace: Duration,
}

impl Settings {
    /// A server on a free loopback port that answers from an emulator, whatever the environment says.
    pub fn local() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            upstream: UpstreamSettings::Local { scripts: None, recordings: None },
            default_model: Some(LOCAL_MODEL.to_owned()),
            max_request_bytes: 32 << 20,
            calls: CallSettings { attempts: 3, connect_timeout: Duration::from_secs(5) },
            grace: Duration::from_secs(30),
        }
    }
}

/// Where answers come from.
#[derive(Clone, Debug)]
pub enum UpstreamSettings {
    /// AWS, by the standard chain.
    Aws {
        /// The region, if not that of the chain.
        region: Option<String>,
    },
    /// An emulator inside this process.
    Local {
        /// A folder of scripts.
        scripts: Option<PathBuf>,
        /// A folder of recordings.
        recordings: Option<PathBuf>,
    },
}

/// Everything wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", .0.join("\n  - "))]
pub struct ConfigError(pub Vec<String>);

impl ServeArgs {
    /// The settings, or every problem with them.
    pub fn resolve(self) -> Result<Settings, ConfigError> {
        let mut problems = Problems::default();
        let Self { listen, local, scripts, recordings, region, default_model, .. } = self;
        // An empty variable, as compose files make them, is one that is not set.
        let (region, default_model) =
            (region.filter(|name| !name.is_empty()), default_model.filter(|name| !name.is_empty()));
        let listen =
            problems.take(parse::<SocketAddr>("--listen", &listen, "an address and a port, such as 127.0.0.1:50051"));
        let max_request_bytes = problems.take(at_least_one("--max-request-bytes", &self.max_request_bytes));
        let attempts = problems.take(at_least_one("--attempts", &self.attempts));
        let connect_timeout = problems.take(duration("--connect-timeout", &self.connect_timeout, false));
        let grace = problems.take(duration("--grace", &self.grace, true));
        for (flag, folder) in [("--scripts", &scripts), ("--recordings", &recordings)] {
            let Some(folder) = folder else { continue };
            if !local {
                problems.0.push(format!("{flag} is for the emulator: it goes with --local"));
            } else if !folder.is_dir() {
                problems.0.push(format!("{flag} is {}, which is no folder", folder.display()));
            }
        }
        if local && region.is_some() {
            problems.0.push("--region is for AWS: it does not go with --local".to_owned());
        }
        let (Some(listen), Some(max_request_bytes), Some(attempts), Some(connect_timeout), Some(grace), true) =
            (listen, max_request_bytes, attempts, connect_timeout, grace, problems.0.is_empty())
        else {
            return Err(ConfigError(problems.0));
        };
        Ok(Settings {
            listen,
            upstream: if local {
                UpstreamSettings::Local { scripts, recordings }
            } else {
                UpstreamSettings::Aws { region }
            },
            default_model: default_model.or_else(|| local.then(|| LOCAL_MODEL.to_owned())),
            max_request_bytes,
            calls: CallSettings { attempts: u32::try_from(attempts).unwrap_or(u32::MAX), connect_timeout },
            grace,
        })
    }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn take<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }
}

fn parse<T: std::str::FromStr>(flag: &str, value: &str, wanted: &str) -> Result<T, String> {
    value.trim().parse().map_err(|_| format!("{flag} is {value:?}; it must be {wanted}"))
}

fn at_least_one(flag: &str, value: &str) -> Result<usize, String> {
    let wanted = "a whole number of at least 1";
    match parse(flag, value, wanted)? {
        0 => Err(format!("{flag} is 0; it must be {wanted}")),
        number => Ok(number),
    }
}

fn duration(flag: &str, value: &str, zero_allowed: bool) -> Result<Duration, String> {
    let duration = humantime::parse_duration(value.trim())
        .map_err(|error| format!("{flag} is {value:?}; it must be a duration such as 500ms, 30s or 2m ({error})"))?;
    if duration.is_zero() && !zero_allowed {
        return Err(format!("{flag} is {value:?}; it must be longer than nothing"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(flags: &[&str]) -> Result<Settings, ConfigError> {
        let cli = Cli::try_parse_from([&["outcrop", "serve"], flags].concat()).unwrap();
        let Command::Serve(args) = cli.command else { panic!("serve") };
        args.resolve()
    }

    #[test]
    fn the_defaults_are_usable() {
        let settings = serve(&["--local"]).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:50051".parse().unwrap());
        assert_eq!(settings.default_model.as_deref(), Some("emulator.default"));
        assert!(serve(&[]).unwrap().default_model.is_none());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let flags =
            ["--listen", "here", "--attempts", "0", "--grace", "soon", "--connect-timeout", "0s", "--scripts", "x"];
        let error = serve(&flags).unwrap_err();
        assert_eq!(error.0.len(), 5, "{error}");
        for part in ["--listen is \"here\"", "--attempts is 0", "--grace is \"soon\"", "--connect-timeout", "--local"] {
            assert!(error.to_string().contains(part), "{part} in {error}");
        }
    }
}
