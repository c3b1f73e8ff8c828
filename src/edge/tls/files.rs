//! Reads the files of TLS, checks them together, and makes the configuration of rustls. Every problem is reported.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use outcrop_secret_file::{ExposeSecret, SecretString, read_secret};
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_cert::{Certificate, der::Decode};

use super::settings::{ClientCertificateSettings, TlsSettings};
use crate::digest::sha256_of_parts;

/// The protocols offered in ALPN, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the files have in them.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: SecretString,
    authorities: Option<Vec<u8>>,
}

/// Distinguishes contents. The key cannot be read from it.
pub(super) type ContentsDigest = [u8; 32];

/// A configuration that can be used.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// The end of the first certificate of the chain that expires.
    pub(super) expires: SystemTime,
    pub(super) digest: ContentsDigest,
    /// What works and should be looked at.
    pub(super) warnings: Vec<String>,
}

impl Contents {
    /// Reads all files.
    ///
    /// # Errors
    /// All problems.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let certificate = read(CERT, &settings.certificate).map_err(|problem| problems.push(problem)).ok();
        let key = read_secret(&settings.key)
            .map_err(|error| problems.push(format!("{KEY} is {}, which {error}", settings.key.display())))
            .ok();
        let authorities = settings.clients.as_ref().map(|clients| read(CLIENT_CA, &clients.authorities)).transpose();
        let authorities = authorities.map_err(|problem| problems.push(problem)).ok();
        match (certificate, key, authorities) {
            (Some(certificate), Some(key), Some(authorities)) => Ok(Self { certificate, key, authorities }),
            _ => Err(problems),
        }
    }

    /// The digest of all files.
    pub(super) fn digest(&self) -> ContentsDigest {
        let authorities = self.authorities.as_deref().unwrap_or_default();
        sha256_of_parts([self.certificate.as_slice(), self.key.expose_secret().as_bytes(), authorities])
    }

    /// Checks the contents and makes a configuration of them. `now` is the time at which certificates must be valid.
    ///
    /// # Errors
    /// All problems.
    pub(super) fn load(&self, settings: &TlsSettings, now: SystemTime) -> Result<Loaded, Vec<String>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let chain = chain(&self.certificate, &settings.certificate, now).map_err(|more| problems.extend(more)).ok();
        let key = private_key(&self.key, &settings.key).map_err(|problem| problems.push(problem)).ok();
        let verifier = match (&settings.clients, &self.authorities) {
            (Some(clients), Some(pem)) => {
                let roots = roots(pem, &clients.authorities, now, &mut warnings);
                let verifier = roots.and_then(|roots| verifier(roots, clients, &provider));
                verifier.map(Some).map_err(|problem| problems.push(problem)).ok()
            }
            _ => Some(None),
        };
        let (Some(chain), Some(key), Some(verifier)) = (chain, key, verifier) else { return Err(problems) };
        let expires = chain.expires;
        let config = config(chain.certificates, key, verifier, provider).map_err(|error| {
            let key = settings.key.display();
            vec![match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                    "{KEY} is {key}, which is not the key of the first certificate in {CERT} ({}). Name the two that belong together; the \
                     certificate of the server comes first in its file",
                    settings.certificate.display()
                ),
                error => format!("{KEY} is {key}, which cannot be used: {error}"),
            }]
        })?;
        Ok(Loaded { config: Arc::new(config), expires, digest: self.digest(), warnings })
    }
}

/// The flags of the files.
const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const CLIENT_CA: &str = "--tls-client-ca";

/// The maximum size of a file with certificates, in bytes. The authorities that an operating system trusts are a quarter of it.
const MAX_BYTES: u64 = 1 << 20;

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content)) {
        Ok(length) if length as u64 > MAX_BYTES => {
            Err(format!("{flag} is {}, which is larger than {MAX_BYTES} bytes. Is it the right file?", path.display()))
        }
        Ok(_) => Ok(content),
        Err(error) => Err(format!("{flag} is {}, which cannot be read: {error}", path.display())),
    }
}

/// The certificate of the server and those of intermediate authorities.
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    expires: SystemTime,
}

fn chain(pem: &[u8], path: &Path, now: SystemTime) -> Result<Chain, Vec<String>> {
    let certificates = certificates(CERT, pem, path).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut expires = None;
    for (at, der) in certificates.iter().enumerate() {
        let which = format!("{CERT} is {}, whose certificate {}", path.display(), at + 1);
        let (from, until) = match validity(der) {
            Ok(validity) => validity,
            Err(error) => {
                problems.push(format!("{which} cannot be read: {error}"));
                continue;
            }
        };
        if until <= now {
            problems.push(format!("{which} expired at {}. Renew it", written(until)));
        }
        if from > now {
            problems.push(format!(
                "{which} is not valid before {}. Wait, or check the clock of this machine",
                written(from)
            ));
        }
        expires = Some(expires.map_or(until, |expires: SystemTime| expires.min(until)));
    }
    match expires {
        Some(expires) if problems.is_empty() => Ok(Chain { certificates, expires }),
        _ => Err(problems),
    }
}

/// The certificates in a PEM file: at least one.
fn certificates(flag: &str, pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = path.display();
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{flag} is {path}, which has no certificate: it must be PEM, with BEGIN CERTIFICATE"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{flag} is {path}, which is not valid PEM: {error}")),
    }
}

fn private_key(pem: &SecretString, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = pem.expose_secret();
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                "has an encrypted key. Decrypt it: openssl pkey -in FILE -out NEW_FILE".to_owned()
            }
            pem::Error::NoItemsFound => "has no private key: it must be PEM, with BEGIN PRIVATE KEY".to_owned(),
            error => format!("is not valid PEM: {error}"),
        };
        format!("{KEY} is {}, which {why}", path.display())
    })
}

/// The authorities of client certificates. Those that have expired get a warning: a file can have old ones beside their successors.
fn roots(pem: &[u8], path: &Path, now: SystemTime, warnings: &mut Vec<String>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, der) in certificates(CLIENT_CA, pem, path)?.into_iter().enumerate() {
        let which = format!("{CLIENT_CA} is {}, whose certificate {}", path.display(), at + 1);
        let (_, until) = validity(&der).map_err(|error| format!("{which} cannot be read: {error}"))?;
        if until <= now {
            warnings.push(format!("{which} expired at {}", written(until)));
        }
        roots.add(der).map_err(|error| format!("{which} cannot be an authority: {error}"))?;
    }
    Ok(roots)
}

fn verifier(
    roots: RootCertStore,
    settings: &ClientCertificateSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let builder = if settings.required { builder } else { builder.allow_unauthenticated() };
    builder
        .build()
        .map_err(|error| format!("{CLIENT_CA} is {}, which cannot be used: {error}", settings.authorities.display()))
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let asks_clients = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    if asks_clients {
        // A resumed session is not verified again, so it would outlive the certificate of its client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// From when until when a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let validity = certificate.tbs_certificate().validity();
    Ok((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

/// A time in UTC, in whole seconds.
pub(crate) fn written(time: SystemTime) -> String {
    // Times after the year 9999 cannot be written, and no certificate has them.
    let whole = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + whole).to_string()
}
