//! The bounds of what is stored of a conversation, and of the history that is sent to Bedrock.

use std::time::Duration;

use prost_types::Duration as ProtoDuration;

use crate::proto::ConversationBounds;

/// The bounds of a server, which are the defaults and the maxima of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The maximum number of messages.
    pub messages: u32,
    /// The maximum number of input tokens of the stored turns.
    pub tokens: u32,
    /// The maximum number of bytes of the stored turns, in protobuf's encoding.
    pub bytes: u64,
    /// The time for which a conversation is stored after its last turn.
    pub age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { messages: 200, tokens: 150_000, bytes: 16 << 20, age: Duration::from_hours(30 * 24) }
    }
}

impl Bounds {
    /// These bounds, lowered to those that a conversation sets.
    pub(crate) fn of(self, given: Option<&ConversationBounds>) -> Self {
        let Some(given) = given else { return self };
        let or = |given: u32, default: u32| if given == 0 { default } else { given.min(default) };
        let age = given.max_age.and_then(|age| Duration::try_from(age).ok());
        Self {
            messages: or(given.max_messages, self.messages),
            tokens: or(given.max_tokens, self.tokens),
            bytes: if given.max_bytes == 0 { self.bytes } else { given.max_bytes.min(self.bytes) },
            age: age.map_or(self.age, |age| age.min(self.age)),
        }
    }

    /// The bounds as a message of the contract.
    pub(crate) fn written(self) -> ConversationBounds {
        ConversationBounds {
            max_messages: self.messages,
            max_tokens: self.tokens,
            max_bytes: self.bytes,
            max_age: ProtoDuration::try_from(self.age).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_gets_at_most_what_the_server_allows() {
        let server = Bounds { messages: 10, tokens: 100, bytes: 1_000, age: Duration::from_mins(1) };
        let asked = ConversationBounds {
            max_messages: 20,
            max_tokens: 0,
            max_bytes: 10,
            max_age: Some(ProtoDuration { seconds: 30, nanos: 0 }),
        };
        let bounds = server.of(Some(&asked));
        assert_eq!((bounds.messages, bounds.tokens, bounds.bytes), (10, 100, 10));
        assert_eq!(bounds.age, Duration::from_secs(30));
    }
}
