//! The flags about TLS, and the guard of addresses that other machines can reach.

use std::path::PathBuf;

use clap::Args;

use super::{ClientCertificateSettings, TlsSettings, access::Listening, problems::Problems};
use crate::edge::tls;

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// A PEM file with the certificate of the server, followed by those of intermediate authorities. It turns TLS on, at --metrics-listen too.
    /// All files of TLS are loaded again when they change
    #[arg(long, env = "OUTCROP_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// A PEM file with the private key of --tls-cert, which only its owner can read
    #[arg(long, env = "OUTCROP_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<String>,
    /// A PEM file with the certificate authorities of clients. Clients are then asked for a certificate
    #[arg(long, env = "OUTCROP_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// With --tls-client-ca: `required` refuses clients without a certificate, `optional` lets them connect [default: required]
    #[arg(long, env = "OUTCROP_TLS_CLIENT_CERTS", value_name = "MODE")]
    pub tls_client_certs: Option<String>,
    /// Listen without TLS on an address that other machines can reach, for example behind a proxy that encrypts
    #[arg(long, env = "OUTCROP_INSECURE_PLAINTEXT")]
    pub insecure_plaintext: bool,
}

impl TlsArgs {
    /// The settings, if TLS is on. `checks_files` reports what is wrong with the contents of the files. A running server reloads them by itself,
    /// and can change its callers while the files of TLS are being replaced.
    pub(super) fn tls(&self, checks_files: bool, problems: &mut Problems<'_>) -> Option<TlsSettings> {
        let (cert, key) = (set(self.tls_cert.as_ref()), set(self.tls_key.as_ref()));
        let clients = self.clients(problems);
        let (certificate, key) = match (cert, key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => {
                for (flag, value) in
                    [("--tls-client-ca", &self.tls_client_ca), ("--tls-client-certs", &self.tls_client_certs)]
                {
                    if set(value.as_ref()).is_some() {
                        problems
                            .add(format!("{flag} applies only to TLS. Set --tls-cert and --tls-key, or leave it out"));
                    }
                }
                return None;
            }
            (cert, _) => {
                let (given, missing) =
                    if cert.is_some() { ("--tls-cert", "--tls-key") } else { ("--tls-key", "--tls-cert") };
                problems.add(format!("{given} is set and {missing} is not. TLS needs both"));
                return None;
            }
        };
        if self.insecure_plaintext {
            problems.add(
                "--insecure-plaintext has no effect with --tls-cert: all connections are encrypted. Leave one out",
            );
        }
        let reload_interval = TlsSettings::RELOAD_INTERVAL;
        let settings =
            TlsSettings { certificate: PathBuf::from(certificate), key: key.into(), clients, reload_interval };
        if checks_files {
            problems.extend(tls::check(&settings).err().unwrap_or_default());
        }
        Some(settings)
    }

    fn clients(&self, problems: &mut Problems<'_>) -> Option<ClientCertificateSettings> {
        let flag = "--tls-client-certs";
        let required = match set(self.tls_client_certs.as_ref()) {
            None | Some("required") => true,
            Some("optional") => false,
            Some(other) => {
                problems.add(format!("{flag} is {other:?}; it must be required or optional"));
                true
            }
        };
        let authorities = set(self.tls_client_ca.as_ref());
        if authorities.is_none() && set(self.tls_client_certs.as_ref()).is_some() && self.is_on() {
            problems.add(format!(
                "{flag} needs --tls-client-ca with the authorities of clients. Set it, or leave {flag} out"
            ));
        }
        Some(ClientCertificateSettings { authorities: authorities?.into(), required })
    }

    fn is_on(&self) -> bool {
        set(self.tls_cert.as_ref()).is_some() || set(self.tls_key.as_ref()).is_some()
    }

    /// Whether clients are asked for certificates.
    pub(super) fn asks_clients(&self) -> bool {
        set(self.tls_client_ca.as_ref()).is_some()
    }

    /// Refuses addresses that other machines can reach without TLS.
    pub(super) fn guard(&self, listening: &Listening, problems: &mut Problems<'_>) {
        if self.is_on() || self.insecure_plaintext {
            return;
        }
        for (flag, address) in listening.reachable() {
            problems.add(format!(
                "{flag} is {address}, which others can reach, and connections are not encrypted. Set --tls-cert and --tls-key \
                 (outcrop tls self-signed makes them), listen on 127.0.0.1, or add --insecure-plaintext if a proxy encrypts"
            ));
        }
    }
}

/// The value of a flag. An empty value counts as unset, because compose files set empty variables.
fn set(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}
