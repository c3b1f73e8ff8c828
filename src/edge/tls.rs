//! TLS for the connections of a listener: one configuration for all new handshakes, which is replaced when its files change.
//!
//! - `settings` the files, and the check of client certificates
//! - `files` reads the files and makes the configuration of rustls
//! - `handshake` the handshake of one connection, with a limit of those that compute at a time
//! - `client_certificate` the name in the certificate of a client
//! - `reload` replaces the configuration

mod client_certificate;
mod files;
mod handshake;
mod reload;
mod settings;

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::{info, warn};

pub(crate) use self::files::written;
use self::files::{Contents, Loaded};
pub use self::settings::{ClientCertificateSettings, TlsSettings};
pub(crate) use self::{
    client_certificate::ClientCertificate,
    handshake::{Encrypted, HANDSHAKE_RECORD},
    reload::EXPIRES_SOON,
};
use crate::{cores, metrics::Metrics};

/// Marks the requests of a connection that is encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// TLS for the connections of all listeners. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: TlsSettings,
    current: ArcSwap<Loaded>,
    /// One for each handshake that computes.
    computing: Arc<Semaphore>,
    metrics: Metrics,
}

/// Checks the files of TLS. Returns until when their certificate is valid.
///
/// # Errors
/// All problems.
pub(crate) fn check(settings: &TlsSettings) -> Result<SystemTime, Vec<String>> {
    load(settings).map(|loaded| loaded.expires)
}

fn load(settings: &TlsSettings) -> Result<Loaded, Vec<String>> {
    Contents::read(settings)?.load(settings, SystemTime::now())
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// All problems.
    pub(crate) fn load(settings: TlsSettings, metrics: Metrics) -> Result<Self, Vec<String>> {
        let loaded = load(&settings)?;
        // A handshake computes for up to a millisecond. At most as many as half of the cores do it at a time, so that many handshakes do not
        // delay the streams of others, which run on threads of their own.
        let computing = Arc::new(Semaphore::new((cores::number() / 2).max(1)));
        metrics.certificate_expires(loaded.expires);
        report(&loaded, "TLS is on");
        Ok(Self(Arc::new(Inner { settings, current: ArcSwap::from_pointee(loaded), computing, metrics })))
    }
}

/// Logs a configuration that new handshakes use.
fn report(loaded: &Loaded, message: &str) {
    info!(expires = written(loaded.expires), "{message}");
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
}

#[cfg(test)]
mod tests;
