//! Why a server cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

use aws_lc_rs::error::Unspecified;

use crate::conversation::settings::OpenError;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}. Choose another with {flag}")]
    Listen {
        /// The flag of the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The files of TLS cannot be used.
    #[error("TLS cannot be used:\n  - {}", .0.join("\n  - "))]
    Tls(Vec<String>),
    /// The descriptors of the contract cannot be decoded. This is a defect of the build.
    #[error("the descriptors of the contract cannot be read: {0}")]
    Descriptors(Box<dyn std::error::Error + Send + Sync>),
    /// The issuers of tokens cannot be used.
    #[error("the issuers of tokens cannot be used: {}", .0.join("; "))]
    Issuers(Vec<String>),
    /// The audit log cannot be opened.
    #[error("--audit-log is {}, which cannot be written: {source}", .path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The threads of the cores cannot be started.
    #[error("the threads that serve connections cannot be started: {0}. Raise the limits of threads and of open files")]
    Threads(io::Error),
    /// Traces and metrics cannot be sent.
    #[error("traces and metrics cannot be sent: {0}")]
    Otlp(String),
    /// The operating system has no random numbers.
    #[error("the operating system has no random numbers for the link to sign in to the page")]
    Random(#[from] Unspecified),
    /// The Redis of the conversations cannot share quotas.
    #[error(
        "the Redis at {address} cannot share quotas and limits: {problem}. Each server has all of them with --share-limits off"
    )]
    Sharing {
        /// Its address, without a password.
        address: String,
        /// The cause.
        problem: String,
    },
    /// The storage of conversations cannot be opened.
    #[error(transparent)]
    Conversations(#[from] OpenError),
}
