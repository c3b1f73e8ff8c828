//! How an emulator is started, and why it does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    faults::Faults,
    quota::{ModelQuota, QuotaError},
    script::Pace,
};

/// How an emulator is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Use TLS with a certificate that is generated at start.
    pub tls: bool,
    /// The maximum number of concurrent streams of an HTTP/2 connection. Default: no limit. Bedrock's is about 100.
    pub max_concurrent_streams: Option<u32>,
    /// Let ordinary models answer without pauses, so that tests need not wait.
    pub unpaced: bool,
    /// The pauses of ordinary models, if not `unpaced`. Default: those of a small model, 350 ms before the first frame and 25 ms before each
    /// further one.
    pub pace: Option<Pace>,
    /// A folder of script files; `name.json` becomes the model `emulator.name`.
    pub scripts: Option<PathBuf>,
    /// A folder of recordings; `folder/name.json` becomes the model `recording.folder/name`.
    pub recordings: Option<PathBuf>,
    /// A folder of recordings that answer the requests that were recorded. Ordinary models answer no others.
    pub replay: Option<PathBuf>,
    /// Refuse what Bedrock refuses before a model sees it, also with scripts: the constraints of Converse and the rules of a conversation.
    pub validate: bool,
    /// Quotas that are enforced from the start. [`Emulator::set_quota`](crate::Emulator::set_quota) sets them later.
    pub quotas: Vec<ModelQuota>,
    /// The share of requests that have each fault. [`Emulator::set_faults`](crate::Emulator::set_faults) sets it later.
    pub faults: Faults,
    /// What pauses and faults are drawn from. The same seed gives the same ones to the same sequence of requests.
    pub seed: u64,
}

impl Default for Config {
    /// A free loopback port, no TLS, and only the built-in scripts.
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen,
            tls: false,
            max_concurrent_streams: None,
            unpaced: false,
            pace: None,
            faults: Faults::default(),
            seed: 0,
            scripts: None,
            recordings: None,
            replay: None,
            validate: false,
            quotas: Vec::new(),
        }
    }
}

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A folder of scripts or recordings cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A quota cannot be used.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// No certificate could be generated.
    #[error("cannot generate a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Why a script or a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is invalid.
    #[error("{} is invalid: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        source: serde_json::Error,
    },
}
