//! How much of a conversation is kept: whole turns, the newest ones, and only such that a request can begin with them.

use std::time::Duration;

use prost_types::Duration as ProtoDuration;

use super::store::Kept;
use crate::proto::{ConversationBounds, Message, content_block::Block};

/// The bounds of a server: what a conversation gets that asks for nothing, and the most that one may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most messages.
    pub messages: u32,
    /// The most tokens that the kept turns may cost as input.
    pub tokens: u32,
    /// How long a conversation is kept after its last turn.
    pub age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { messages: 200, tokens: 150_000, age: Duration::from_hours(30 * 24) }
    }
}

impl Bounds {
    /// These, or what a conversation asks for.
    pub(crate) fn of(self, wish: Option<&ConversationBounds>) -> Self {
        let Some(wish) = wish else { return self };
        let or = |wish: u32, default: u32| if wish == 0 { default } else { wish.min(default) };
        let age = wish.max_age.and_then(|age| Duration::try_from(age).ok());
        Self {
            messages: or(wish.max_messages, self.messages),
            tokens: or(wish.max_tokens, self.tokens),
            age: age.map_or(self.age, |age| age.min(self.age)),
        }
    }

    /// As the contract writes them.
    pub(crate) fn written(self) -> ConversationBounds {
        ConversationBounds {
            max_messages: self.messages,
            max_tokens: self.tokens,
            max_age: ProtoDuration::try_from(self.age).ok(),
        }
    }

    /// Forgets the oldest turns until the rest is within bounds, and a conversation can begin with it.
    pub(crate) fn trim(self, turns: &mut Vec<Kept>) {
        let messages = |turns: &[Kept]| turns.iter().map(|kept| messages_of(kept).len()).sum::<usize>();
        let tokens = |turns: &[Kept]| turns.iter().map(|kept| kept.tokens).sum::<u64>();
        let fits = |turns: &[Kept]| {
            messages(turns) <= self.messages as usize && tokens(turns) <= u64::from(self.tokens) && may_begin(turns)
        };
        let first = (0..turns.len()).find(|first| fits(&turns[*first..])).unwrap_or(turns.len());
        turns.drain(..first);
    }
}

pub(crate) fn messages_of(kept: &Kept) -> &[Message] {
    kept.turn.as_ref().map(|turn| turn.messages.as_slice()).unwrap_or_default()
}

/// The result of a tool cannot stand where nobody has asked for it.
fn may_begin(turns: &[Kept]) -> bool {
    let first = turns.first().and_then(|kept| messages_of(kept).first());
    let results = |message: &Message| message.content.iter().any(|b| matches!(b.block, Some(Block::ToolResult(_))));
    !first.is_some_and(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ContentBlock, ToolResultBlock, Turn};

    /// A turn of two messages with this block in the first.
    fn turn(block: Block, tokens: u64) -> Kept {
        let first = Message { role: 1, content: vec![ContentBlock { block: Some(block) }] };
        Kept { turn: Some(Turn { messages: vec![first, Message::default()], ..Turn::default() }), tokens }
    }

    fn text(tokens: u64) -> Kept {
        turn(Block::Text("hi".to_owned()), tokens)
    }

    fn result(tokens: u64) -> Kept {
        turn(Block::ToolResult(ToolResultBlock::default()), tokens)
    }

    fn trimmed(bounds: Bounds, mut turns: Vec<Kept>) -> Vec<u64> {
        bounds.trim(&mut turns);
        turns.iter().map(|kept| kept.tokens).collect()
    }

    #[test]
    fn the_oldest_turns_go_first_and_never_a_part_of_one() {
        let bounds = Bounds { messages: 5, tokens: 1_000, ..Bounds::default() };
        assert_eq!(trimmed(bounds, vec![text(1), text(2), text(3)]), [2, 3]);
        let bounds = Bounds { messages: 100, tokens: 10, ..Bounds::default() };
        assert_eq!(trimmed(bounds, vec![text(6), text(5), text(4)]), [5, 4]);
        assert_eq!(trimmed(bounds, vec![text(1), text(50)]), [0_u64; 0], "a turn that is too large alone");
    }

    #[test]
    fn a_conversation_does_not_begin_with_the_result_of_a_tool() {
        let bounds = Bounds { messages: 4, tokens: 1_000, ..Bounds::default() };
        assert_eq!(trimmed(bounds, vec![text(1), result(2), text(3)]), [3]);
        assert_eq!(trimmed(bounds, vec![text(1), result(2), result(3)]), [0_u64; 0]);
    }

    #[test]
    fn a_conversation_may_ask_for_less_and_not_for_more() {
        let wish = ConversationBounds { max_messages: 10, max_tokens: u32::MAX, max_age: None };
        let bounds = Bounds::default().of(Some(&wish));
        assert_eq!((bounds.messages, bounds.tokens), (10, 150_000));
    }
}
