//! The settings -> AWS, or an emulator in this process. Never the one in place of the other.

use std::{io, path::PathBuf, time::Duration};

use bedrock_emulator::{Config, Emulator, StartError};
use tracing::info;

use super::{Bedrock, client::Environment};
use crate::config::ConfigError;

/// Where answers come from, as configured.
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

/// Where answers come from, ready for calls.
#[derive(Debug)]
pub struct Connected {
    /// What calls are made to.
    pub bedrock: Bedrock,
    /// The emulator behind it, if that is what was asked for; it stops when this is dropped.
    pub emulator: Option<Emulator>,
}

/// Why there is nothing to make calls to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Region or credentials are missing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] io::Error),
    /// The emulator does not start.
    #[error("the emulator does not start: {0}")]
    Emulator(#[from] StartError),
}

impl Connected {
    /// What the AWS environment lacks, for a configuration that cannot be used for other reasons already.
    pub async fn problems(region: Option<String>, max_connect: Duration) -> Vec<String> {
        Environment::load(region, max_connect).await.problems
    }

    /// Reads the AWS environment, or starts the emulator. `max_connect` is the longest that a connection may take for any call.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(upstream: &UpstreamSettings, max_connect: Duration) -> Result<Self, ConnectError> {
        match upstream {
            UpstreamSettings::Aws { region } => {
                let environment = Environment::load(region.clone(), max_connect).await;
                let bedrock = environment.bedrock().map_err(ConfigError)?;
                info!(region = %bedrock.home(), "answers come from AWS");
                Ok(Self { bedrock, emulator: None })
            }
            UpstreamSettings::Local { scripts, recordings } => {
                let config = Config { scripts: scripts.clone(), recordings: recordings.clone(), ..Config::default() };
                let emulator = Emulator::start(config).await?;
                info!(endpoint = %emulator.endpoint(), "answers come from the emulator in this process");
                let bedrock = Bedrock::emulated(&emulator.endpoint(), max_connect)?;
                Ok(Self { bedrock, emulator: Some(emulator) })
            }
        }
    }
}
