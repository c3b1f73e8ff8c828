//! The settings of TLS.

use std::{path::PathBuf, time::Duration};

/// The certificate of the server, and which clients it accepts.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The PEM file with the certificate of the server, followed by those of intermediate authorities.
    pub certificate: PathBuf,
    /// The PEM file with the private key of the certificate. Only its owner may read it.
    pub key: PathBuf,
    /// The check of client certificates. Without it, clients are not asked for one.
    pub clients: Option<ClientCertificateSettings>,
    /// The interval at which the files are read again.
    pub reload_interval: Duration,
}

/// The check of client certificates.
#[derive(Clone, Debug)]
pub struct ClientCertificateSettings {
    /// The PEM file with the certificates of the authorities that are trusted.
    pub authorities: PathBuf,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

impl TlsSettings {
    /// The default of [`TlsSettings::reload_interval`].
    pub const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
}
