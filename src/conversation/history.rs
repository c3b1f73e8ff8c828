//! The history of a turn: how much of a conversation goes to Bedrock before it.

use prost::Message as _;

use super::{bounds::Bounds, store::StoredTurn};
use crate::proto::{History, Message, content_block::Block};

/// The history of a turn, and the input tokens that it costs: the newest stored turns that are within bounds and may begin a
/// conversation. The bytes of the caller's own messages count too, because both go to Bedrock in one body.
pub(super) fn history(
    bounds: Bounds,
    turns: Vec<StoredTurn>,
    messages_of_request: &[Message],
    next: u64,
) -> (Vec<Message>, History, u64) {
    let size = |messages: &[Message]| messages.iter().map(|message| message.encoded_len() as u64).sum::<u64>();
    let (mut messages, mut tokens, mut bytes) = (0, 0, size(messages_of_request));
    let within = turns.iter().rev().take_while(|kept| {
        messages += kept.messages().len();
        tokens += kept.tokens;
        bytes += size(kept.messages());
        messages <= bounds.messages as usize && tokens <= u64::from(bounds.tokens) && bytes <= bounds.bytes
    });
    let oldest = turns.len() - within.count();
    let first = (oldest..turns.len()).find(|first| may_begin(&turns[*first])).unwrap_or(turns.len());
    let sent = turns.len() - first;
    let tokens = turns[first..].iter().map(|kept| kept.tokens).sum();
    let messages: Vec<_> =
        turns.into_iter().skip(first).filter_map(|kept| kept.turn).flat_map(|turn| turn.messages).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let revision = u32::try_from(next).unwrap_or(u32::MAX);
    let history = History {
        turns: count(sent),
        messages: count(messages.len()),
        omitted_turns: revision.saturating_sub(count(sent)),
        revision,
    };
    (messages, history, tokens)
}

/// Whether a conversation can begin with this turn. Bedrock refuses the result of a tool before any tool was used.
fn may_begin(turn: &StoredTurn) -> bool {
    let first = turn.messages().first();
    let results = |message: &Message| message.content.iter().any(|b| matches!(b.block, Some(Block::ToolResult(_))));
    !first.is_some_and(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ContentBlock, ToolResultBlock, Turn};

    /// A turn of two messages with this block in the first.
    fn turn(block: Block, tokens: u64) -> StoredTurn {
        let first = Message { role: 1, content: vec![ContentBlock { block: Some(block) }] };
        StoredTurn { turn: Some(Turn { messages: vec![first, Message::default()], ..Turn::default() }), tokens }
    }

    fn text(tokens: u64) -> StoredTurn {
        turn(Block::Text("hi".to_owned()), tokens)
    }

    fn result(tokens: u64) -> StoredTurn {
        turn(Block::ToolResult(ToolResultBlock::default()), tokens)
    }

    fn sent(bounds: Bounds, turns: Vec<StoredTurn>) -> (u32, u32) {
        let all = turns.len() as u64;
        let (messages, history, _) = history(bounds, turns, &[Message::default()], all);
        assert_eq!(messages.len(), history.messages as usize);
        (history.turns, history.omitted_turns)
    }

    #[test]
    fn history_is_cut_at_whole_turns_and_says_how_many_it_omits() {
        let bounds = Bounds { messages: 5, tokens: 1_000, ..Bounds::default() };
        assert_eq!(sent(bounds, vec![text(1), text(2), text(3)]), (2, 1));
        let bounds = Bounds { messages: 100, tokens: 10, ..Bounds::default() };
        assert_eq!(sent(bounds, vec![text(6), text(5), text(4)]), (2, 1));
        let bounds = Bounds { bytes: 15, ..Bounds::default() };
        assert_eq!(sent(bounds, vec![text(1), text(1), text(1)]), (1, 2), "bytes");
        assert_eq!(sent(Bounds::default(), vec![text(1), text(1)]), (2, 0));
    }

    #[test]
    fn history_does_not_begin_with_the_result_of_a_tool() {
        let bounds = Bounds { messages: 4, tokens: 1_000, ..Bounds::default() };
        assert_eq!(sent(bounds, vec![text(1), result(2), text(3)]), (1, 2));
        assert_eq!(sent(bounds, vec![result(1), result(2)]), (0, 2));
    }
}
