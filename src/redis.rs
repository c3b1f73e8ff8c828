//! One Redis or Valkey, or a cluster of them, and the connection to it that conversations and quotas share.
//!
//! - [`address`] what an address says; `connection` one Redis or a cluster
//! - `script` calls of scripts that run in Redis

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod script;
#[cfg(test)]
pub(crate) mod server;

/// Why Redis, or another storage, cannot be used when the server starts.
#[derive(Debug)]
pub(crate) enum Probe {
    /// It may work later.
    Away(String),
    /// It works only with other settings.
    Misconfigured(String),
}
