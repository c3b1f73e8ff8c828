//! The flags about conversations: where they are stored, and how much of them.

use std::fmt;

use clap::Args;

use super::problems::Problems;
use crate::conversation::{bounds::Bounds, place::ConversationSettings};

/// As typed.
#[derive(Clone, Args)]
pub struct ConversationArgs {
    /// Where conversations are stored: a file, redis://HOST:PORT/DATABASE, `memory` or `off` [default with --local: memory; otherwise off]
    // The address of a Redis may hold a password, which `--help` would print.
    #[arg(long, env = "OUTCROP_CONVERSATIONS", hide_env_values = true, value_name = "PLACE")]
    pub conversations: Option<String>,
    /// The most conversations at once
    #[arg(long, env = "OUTCROP_MAX_CONVERSATIONS", default_value = "100000", value_name = "NUMBER")]
    pub max_conversations: String,
    /// The most bytes of the stored turns of a conversation
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_BYTES", default_value = "16777216", value_name = "BYTES")]
    pub max_conversation_bytes: String,
    /// The most stored messages of a conversation
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_MESSAGES", default_value = "200", value_name = "NUMBER")]
    pub max_conversation_messages: String,
    /// The most input tokens that the stored turns of a conversation may cost
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_TOKENS", default_value = "150000", value_name = "NUMBER")]
    pub max_conversation_tokens: String,
    /// How long a conversation is stored after its last turn
    #[arg(long, env = "OUTCROP_MAX_CONVERSATION_AGE", default_value = "30days", value_name = "DURATION")]
    pub max_conversation_age: String,
}

impl fmt::Debug for ConversationArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationArgs").finish_non_exhaustive()
    }
}

impl ConversationArgs {
    pub(super) fn place(&self, local: bool) -> ConversationSettings {
        match self.conversations.as_deref().map(str::trim).filter(|place| !place.is_empty()) {
            None if local => ConversationSettings::Memory,
            None | Some("off") => ConversationSettings::Off,
            Some("memory") => ConversationSettings::Memory,
            Some(url) if url.contains("://") => ConversationSettings::Redis(url.to_owned()),
            Some(path) => ConversationSettings::File(path.into()),
        }
    }

    pub(super) fn most(&self, problems: &mut Problems) -> u64 {
        problems.at_least_one("--max-conversations", &self.max_conversations) as u64
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
