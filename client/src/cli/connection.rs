//! The flags about the connection: the authorities to trust, the certificate of the client and the API key.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use outcrop_secret_file::{SecretString, read_secret};
use tonic::transport::Uri;

use crate::{Client, ClientBuilder, connect::is_readable_by_others};

/// The variable for the API key. There is no flag for it, because other users can read arguments.
pub(super) const API_KEY: &str = "OUTCROP_API_KEY";

/// Whom the client trusts, and how it identifies itself.
#[derive(Clone, Debug, Default, Args)]
pub struct ConnectionArgs {
    /// For https:// endpoints: a PEM file with the certificate authorities to trust [default: those of the machine]
    #[arg(long, global = true, env = "OUTCROP_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// For https:// endpoints: a PEM file with the certificate of the client
    #[arg(long, global = true, env = "OUTCROP_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the private key of --cert, which only its owner can read
    #[arg(long, global = true, env = "OUTCROP_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// A file with the API key, which only its owner can read. Alternatively set the variable OUTCROP_API_KEY
    #[arg(long, global = true, env = "OUTCROP_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Send the API key without encryption to an http:// endpoint on another machine, for example through a tunnel
    #[arg(long, global = true)]
    pub insecure_key_over_plaintext: bool,
    /// The API key itself. A file has precedence.
    #[arg(skip)]
    pub api_key: Option<SecretString>,
}

impl ConnectionArgs {
    /// Takes the API key from the variable `OUTCROP_API_KEY`, if it is set and not empty.
    /// Otherwise takes this one.
    pub fn take_api_key_from_environment(&mut self, otherwise: Option<SecretString>) {
        let key = std::env::var(API_KEY).ok().filter(|key| !key.is_empty()).map(SecretString::from);
        self.api_key = key.or(otherwise);
    }

    /// Reads the files.
    pub(super) fn builder(&self, endpoint: &str) -> Result<ClientBuilder, String> {
        let mut builder = Client::builder(&with_scheme(endpoint));
        if let Some(file) = &self.ca {
            builder = builder.trusting(&read("--ca", file)?);
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            builder = builder.certificate(&read("--cert", certificate)?, secret("--key", key)?);
        }
        let api_key = self.api_key_file.as_ref().map(|file| secret("--api-key-file", file)).transpose()?;
        if let Some(key) = api_key.or_else(|| self.api_key.clone()) {
            builder = builder.api_key(key);
        }
        Ok(if self.insecure_key_over_plaintext { builder.insecure_key_over_plaintext() } else { builder })
    }
}

/// The endpoint with a scheme. One without gets `http://` if its host is this machine (`localhost`, a loopback address), and `https://` otherwise.
pub(super) fn with_scheme(endpoint: &str) -> Cow<'_, str> {
    if endpoint.contains("://") || endpoint.starts_with("unix:") {
        return endpoint.into();
    }
    let plain = format!("http://{endpoint}");
    let has_host = plain.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match (has_host, is_readable_by_others(&plain)) {
        (false, _) => endpoint.into(),
        (true, false) => plain.into(),
        (true, true) => format!("https://{endpoint}").into(),
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("cannot read the file of {flag}, {}: {error}", file.display()))
}

fn secret(flag: &str, file: &Path) -> Result<SecretString, String> {
    read_secret(file).map_err(|error| format!("{flag} is {}, which {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_scheme_is_encrypted_unless_it_is_this_machine() {
        for (endpoint, expected) in [
            ("localhost:50051", "http://localhost:50051"),
            ("LOCALHOST", "http://LOCALHOST"),
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("[::1]:50051", "http://[::1]:50051"),
            ("outcrop.example", "https://outcrop.example"),
            ("localhost.example:443", "https://localhost.example:443"),
            ("10.0.0.1:50051", "https://10.0.0.1:50051"),
            ("localhost@outcrop.example:1", "https://localhost@outcrop.example:1"),
            ("http://outcrop.example", "http://outcrop.example"),
            ("unix:/run/outcrop", "unix:/run/outcrop"),
            ("ftp://localhost", "ftp://localhost"),
            ("no endpoint", "no endpoint"),
            ("", ""),
        ] {
            assert_eq!(with_scheme(endpoint), expected);
        }
    }
}
