//! The flags about conversations.

use std::fmt;

use clap::Args;
use outcrop_secret_file::SecretString;

use super::{
    file::{meant, read},
    flags::PASSWORD,
    problems::Problems,
};
use crate::conversation::{
    bounds::Bounds,
    settings::{ConversationSettings, RedisSettings},
};

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Args)]
#[command(next_help_heading = "Conversations")]
pub struct ConversationArgs {
    /// Where conversations are stored: a file, redis://HOST:PORT/DATABASE (rediss:// for TLS, commas between the nodes of a cluster),
    /// `memory` or `off` [default with --local: memory; otherwise off]
    // An address can contain a password, which `--help` would print.
    #[arg(long, env = "OUTCROP_CONVERSATIONS", hide_env_values = true, value_name = "PLACE")]
    pub conversations: Option<String>,
    /// A file with the password of Redis, which only its owner can read. Alternatively set the variable OUTCROP_CONVERSATIONS_PASSWORD
    #[arg(long, env = "OUTCROP_CONVERSATIONS_PASSWORD_FILE", value_name = "FILE")]
    pub conversations_password_file: Option<String>,
    /// For rediss://: a PEM file with the certificate authorities to trust [default: those of the system]
    #[arg(long, env = "OUTCROP_CONVERSATIONS_CA", value_name = "FILE")]
    pub conversations_ca: Option<String>,
    /// The maximum number of conversations
    #[arg(long, env = "OUTCROP_MAX_CONVERSATIONS", default_value = "100000", value_name = "NUMBER")]
    pub max_conversations: String,
    /// The maximum number of bytes of all conversations
    #[arg(long, env = "OUTCROP_MAX_STORED_BYTES", default_value = "17179869184", value_name = "BYTES")]
    pub max_stored_bytes: String,
    /// The maximum number of bytes of the stored turns of a conversation
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_BYTES", default_value = "16777216", value_name = "BYTES")]
    pub max_conversation_bytes: String,
    /// The maximum number of stored messages of a conversation
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_MESSAGES", default_value = "200", value_name = "NUMBER")]
    pub max_conversation_messages: String,
    /// The maximum number of input tokens of the stored turns of a conversation
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_TOKENS", default_value = "150000", value_name = "NUMBER")]
    pub max_conversation_tokens: String,
    /// The time for which a conversation is stored after its last turn
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_AGE", default_value = "30days", value_name = "DURATION")]
    pub max_conversation_age: String,
}

impl fmt::Debug for ConversationArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationArgs").finish_non_exhaustive()
    }
}

impl ConversationArgs {
    /// The storage. `reads_files` is off for a running server, which has opened it: a file that is missing now must not keep a key from being
    /// revoked.
    pub(super) fn storage(&self, local: bool, reads_files: bool, problems: &mut Problems) -> ConversationSettings {
        let storage = match self.conversations.as_deref().map(str::trim).filter(|storage| !storage.is_empty()) {
            None if local => ConversationSettings::Memory,
            None | Some("off") => ConversationSettings::Off,
            Some("memory") => ConversationSettings::Memory,
            Some(address) if address.contains("://") => return self.redis(address, reads_files, problems),
            Some(path) => {
                if is_host_and_port(path) {
                    // What stands before the host can be a password.
                    let host = path.rsplit('@').next().unwrap_or_default();
                    problems.add(format!(
                        "--conversations looks like the address of a Redis. Write redis://{host}/0, or ./{host} for a file"
                    ));
                } else if !path.contains(['/', '.']) {
                    // A word can be a misspelt `memory`, of which nothing would remain after the next start of a container.
                    let meant = meant(path, ["memory", "off"]);
                    problems.add(format!(
                        "--conversations is {path:?}; it must be memory, off, a file or the address of a Redis{meant}. Write ./{path} for a file of that name"
                    ));
                }
                ConversationSettings::File(path.into())
            }
        };
        let flags = [
            ("--conversations-password-file", &self.conversations_password_file),
            ("--conversations-ca", &self.conversations_ca),
        ];
        for (flag, _) in flags.into_iter().filter(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty())) {
            problems.add(format!("{flag} is for a Redis, and --conversations names none"));
        }
        storage
    }

    fn redis(&self, address: &str, reads_files: bool, problems: &mut Problems) -> ConversationSettings {
        let set = |path: &Option<String>| path.clone().filter(|path| reads_files && !path.is_empty());
        let file = set(&self.conversations_password_file)
            .and_then(|path| problems.secret_file("--conversations-password-file", &path));
        let ca = set(&self.conversations_ca).and_then(|path| {
            let unread = |problem| problems.add(format!("--conversations-ca is {path:?}, {problem}"));
            read(&path).map_err(unread).ok()
        });
        let variable = || std::env::var(PASSWORD).ok().filter(|password| !password.is_empty()).map(SecretString::from);
        let password = file.or_else(variable);
        let settings = RedisSettings { address: address.to_owned(), password, ca };
        if let Err(problem) = settings.check() {
            // The address may hold a password.
            problems.add(format!("--conversations cannot be used: {problem}"));
        }
        ConversationSettings::Redis(settings)
    }

    pub(super) fn most(&self, problems: &mut Problems) -> u64 {
        problems.at_least_one("--max-conversations", &self.max_conversations) as u64
    }

    pub(super) fn stored_bytes(&self, problems: &mut Problems) -> u64 {
        problems.at_least_one("--max-stored-bytes", &self.max_stored_bytes) as u64
    }

    pub(super) fn bounds(&self, problems: &mut Problems) -> Bounds {
        let mut number = |flag: &str, value: &str| {
            let number = problems.at_least_one(flag, value);
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        let messages = number("--max-conversation-messages", &self.max_conversation_messages);
        let tokens = number("--max-conversation-tokens", &self.max_conversation_tokens);
        let bytes = problems.at_least_one("--max-conversation-bytes", &self.max_conversation_bytes) as u64;
        Bounds {
            messages,
            tokens,
            bytes,
            age: problems.duration("--max-conversation-age", &self.max_conversation_age, false),
        }
    }
}

/// Whether this is `HOST:PORT` rather than a path.
fn is_host_and_port(text: &str) -> bool {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}
