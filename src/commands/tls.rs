//! `outcrop tls self-signed`: a certificate to try TLS with, and the flags that use it.

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use outcrop_secret_file::shell_word;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::ServerName;

use crate::error::ConfigError;

/// The names that every certificate has: those of this machine.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The time for which a certificate is valid.
const VALID_FOR: Duration = Duration::from_hours(365 * 24);

/// The time before now from which it is valid, for clients whose clocks are behind.
const VALID_SINCE: Duration = Duration::from_hours(1);

/// The commands of `outcrop tls`.
#[derive(Clone, Debug, Subcommand)]
pub enum TlsCommand {
    /// Make a certificate that clients can trust by name of its file, to try TLS
    SelfSigned(SelfSignedArgs),
}

/// The flags of `outcrop tls self-signed`.
#[derive(Clone, Debug, Args)]
pub struct SelfSignedArgs {
    /// The folder for cert.pem and key.pem. It is created if there is none; existing files are not overwritten
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// A host name or an IP address of the server, besides localhost, 127.0.0.1 and ::1. Repeatable
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,
}

impl TlsCommand {
    /// Runs the command and writes what it did to `output`.
    ///
    /// # Errors
    /// If a name is invalid, a file exists, or writing fails.
    pub fn run(&self, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
        let Self::SelfSigned(args) = self;
        let (certificate, key) = self_signed(&args.names)?;
        let (certificate_file, key_file) = (args.out.join("cert.pem"), args.out.join("key.pem"));
        fs::create_dir_all(&args.out).map_err(|error| {
            ConfigError(vec![format!("--out is {}, which cannot be created: {error}", args.out.display())])
        })?;
        // The key first: a certificate alone would be of no use.
        create(&key_file, &key, 0o600)?;
        if let Err(error) = create(&certificate_file, &certificate, 0o644) {
            fs::remove_file(&key_file)?;
            return Err(error.into());
        }
        let (certificate, key) = (shell_word(&certificate_file), shell_word(&key_file));
        write!(
            output,
            "wrote {certificate}, valid for a year, and {key}, its private key\n\
             server:  outcrop serve --local --tls-cert {certificate} --tls-key {key}\n\
             client:  outcrop-client --endpoint https://localhost:50051 --ca {certificate} hi\n\
             grpcurl: grpcurl -cacert {certificate} localhost:50051 list\n"
        )?;
        Ok(())
    }
}

/// A certificate and its private key, in PEM.
fn self_signed(names: &[String]) -> Result<(String, String), Box<dyn Error>> {
    for name in names {
        if ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_err() {
            let problem = format!("--name is {name:?}; it must be a host name or an IP address, without a port");
            return Err(ConfigError(vec![problem]).into());
        }
    }
    let own = OWN_NAMES.map(str::to_owned).into_iter();
    let mut params = CertificateParams::new(own.chain(names.iter().cloned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "Outcrop, self-signed");
    // Without key usages: OpenSSL trusts a certificate that may not sign others only if it says nothing about it.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - VALID_SINCE).into(), (now + VALID_FOR).into());
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Creates a file with these permissions.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), ConfigError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let path = path.display();
        ConfigError(vec![match error.kind() {
            ErrorKind::AlreadyExists => format!("{path} exists and is not overwritten. Name another folder with --out"),
            _ => format!("{path} cannot be written: {error}"),
        }])
    })
}
