//! The flags about the Bedrock API.

use std::path::PathBuf;

use clap::Args;
use outcrop_secret_file::read_secret;

use super::problems::Problems;
use crate::identity::signing::SigningSecrets;

/// The flags about the Bedrock API.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ApiArgs {
    /// Also serve the Bedrock Runtime API, for callers with an AWS SDK whose AWS_ENDPOINT_URL_BEDROCK_RUNTIME is the address of this server
    #[arg(long, env = "OUTCROP_BEDROCK_API")]
    pub bedrock_api: bool,
    /// With --bedrock-api: the file with the secrets of callers who sign their calls (SigV4), which outcrop keys new --sigv4 writes. It is
    /// read at start [default: none]
    #[arg(long, env = "OUTCROP_SIGV4_KEYS", value_name = "FILE", help_heading = "Access")]
    pub sigv4_keys: Option<PathBuf>,
}

impl ApiArgs {
    /// The secrets of callers who sign. `reads_files` is off for a running server, which has read the file.
    pub(super) fn secrets(&self, reads_files: bool, problems: &mut Problems<'_>) -> SigningSecrets {
        let Some(path) = self.sigv4_keys.as_ref().filter(|path| !path.as_os_str().is_empty()) else {
            return SigningSecrets::default();
        };
        if !self.bedrock_api {
            problems.add("--sigv4-keys applies only to the Bedrock API. Add --bedrock-api, or leave it out");
        }
        if !reads_files {
            return SigningSecrets::default();
        }
        let file = path.display();
        match read_secret(path) {
            Err(error) => problems.add(format!("--sigv4-keys is {file}, which {error}")),
            Ok(text) => match SigningSecrets::parse(&text) {
                Ok(secrets) => return secrets,
                Err(lines) => {
                    for line in lines {
                        problems.add(format!("--sigv4-keys is {file}, whose {line}"));
                    }
                }
            },
        }
        SigningSecrets::default()
    }
}
