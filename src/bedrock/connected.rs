//! Connects to AWS, or to an emulator in this process, as configured. It never falls back to the other.

use std::{io, path::PathBuf, time::Duration};

use tracing::info;

use super::{
    Bedrock,
    account::Account,
    client::{EMULATED_REGION, Environment},
    local::{Emulator, StartError, start},
    service_quotas::ServiceQuotas,
};
use crate::error::ConfigError;

/// The configured upstream.
#[derive(Clone, Debug)]
pub enum UpstreamSettings {
    /// AWS, with the standard credential chain.
    Aws {
        /// The region. `None` selects that of the chain.
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

/// A connected upstream.
#[derive(Debug)]
pub struct Connected {
    /// Makes the calls.
    pub bedrock: Bedrock,
    /// The emulator, if configured. Dropping it stops it.
    pub emulator: Option<Emulator>,
}

/// The reason why the upstream cannot be used.
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

/// An upstream whose settings are complete. Nothing is connected or started yet.
#[derive(Debug)]
pub struct Prepared(Upstream);

#[derive(Debug)]
enum Upstream {
    Aws(Box<Bedrock>),
    Local { scripts: Option<PathBuf>, recordings: Option<PathBuf>, max_connect: Duration },
}

impl Prepared {
    /// Loads the AWS environment. `max_connect` is the maximum connect timeout of a call.
    ///
    /// # Errors
    /// All that AWS lacks, so that it can be reported together with other problems of the configuration.
    pub async fn load(upstream: &UpstreamSettings, max_connect: Duration) -> Result<Self, ConfigError> {
        match upstream {
            UpstreamSettings::Aws { region } => {
                let environment = Environment::load(region.clone(), max_connect).await;
                Ok(Self(Upstream::Aws(Box::new(environment.bedrock().map_err(ConfigError)?))))
            }
            UpstreamSettings::Local { scripts, recordings } => {
                let (scripts, recordings) = (scripts.clone(), recordings.clone());
                Ok(Self(Upstream::Local { scripts, recordings, max_connect }))
            }
        }
    }

    /// The region of the server.
    pub(crate) fn home(&self) -> &str {
        match &self.0 {
            Upstream::Aws(bedrock) => bedrock.home(),
            Upstream::Local { .. } => EMULATED_REGION,
        }
    }

    /// The models of the AWS account, if AWS is the upstream.
    pub(crate) fn account(&self) -> Option<Account> {
        match &self.0 {
            Upstream::Aws(bedrock) => Some(bedrock.account()),
            Upstream::Local { .. } => None,
        }
    }

    /// The quotas of the AWS account, if AWS is the upstream.
    pub(crate) fn service_quotas(&self) -> Option<ServiceQuotas> {
        match &self.0 {
            Upstream::Aws(bedrock) => Some(bedrock.service_quotas()),
            Upstream::Local { .. } => None,
        }
    }

    /// Starts the emulator, if it is the upstream.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(self) -> Result<Connected, ConnectError> {
        match self.0 {
            Upstream::Aws(bedrock) => {
                info!(region = %bedrock.home(), "answers come from AWS");
                Ok(Connected { bedrock: *bedrock, emulator: None })
            }
            Upstream::Local { scripts, recordings, max_connect } => {
                let emulator = start(scripts, recordings).await?;
                info!(endpoint = %emulator.endpoint(), "answers come from the emulator in this process");
                let bedrock = Bedrock::emulated(&emulator.endpoint(), max_connect)?;
                Ok(Connected { bedrock, emulator: Some(emulator) })
            }
        }
    }
}

impl Connected {
    /// Loads the AWS environment, or starts the emulator. `max_connect` is the maximum connect timeout of a call.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(upstream: &UpstreamSettings, max_connect: Duration) -> Result<Self, ConnectError> {
        Prepared::load(upstream, max_connect).await?.connect().await
    }
}
