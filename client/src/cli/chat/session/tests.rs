//! What is sent with the next prompt, whatever happened to the turns before.

use super::*;
use crate::proto::{CitationsContentBlock, Finish, ReasoningContentBlock, ReasoningTextBlock, reasoning_content_block};

fn text(text: &str) -> ContentBlock {
    ContentBlock { block: Some(Block::Text(text.to_owned())) }
}

fn answer(blocks: Vec<ContentBlock>, revision: u32) -> Answer {
    let message = Message { role: Role::Assistant.into(), content: blocks };
    let finish = Finish { conversation_revision: Some(revision), ..Finish::default() };
    Answer { message, finish, ..Answer::default() }
}

fn signed() -> ContentBlock {
    let reasoning = ReasoningTextBlock { text: "so".into(), signature: "signed".into() };
    let block = reasoning_content_block::Block::ReasoningText(reasoning);
    ContentBlock { block: Some(Block::ReasoningContent(ReasoningContentBlock { block: Some(block) })) }
}

/// The texts of a request.
fn sent(session: &Session, prompt: &str) -> Vec<String> {
    let request = session.request(&[text(prompt)], "t");
    let texts = request.messages.iter().map(|message| Answer { message: message.clone(), ..Answer::default() }.text());
    texts.collect()
}

fn stored(revision: u32) -> Conversation {
    Conversation { conversation_id: format!("c{revision}"), revision, ..Conversation::default() }
}

#[test]
fn without_a_store_all_messages_are_sent_with_all_their_blocks() {
    let mut session = Session::new(String::new(), None, false);
    let cited = ContentBlock { block: Some(Block::CitationsContent(CitationsContentBlock::default())) };
    session.complete(vec![text("a")], "1".into(), answer(vec![signed(), text("b"), cited.clone()], 0));
    let request = session.request(&[text("c")], "2");
    assert_eq!(request.messages[1].content, [signed(), text("b"), cited]);
    assert_eq!(sent(&session, "c"), ["a", "b", "c"]);
    assert!(request.conversation_id.is_empty() && request.conversation_revision.is_none());
}

#[test]
fn a_stored_conversation_gets_only_what_is_new() {
    let mut session = Session::new(String::new(), None, true);
    session.created(stored(0));
    session.complete(vec![text("a")], "1".into(), answer(vec![text("b")], 1));
    let request = session.request(&[text("c")], "2");
    assert_eq!((request.messages.len(), request.conversation_revision), (1, Some(1)));
    assert_eq!(session.messages().len(), 2);
}

#[test]
fn an_answer_that_was_stopped_is_kept_without_what_is_not_complete() {
    let mut session = Session::new(String::new(), None, true);
    session.created(stored(0));
    session.stopped(vec![text("a")], "1".into(), answer(vec![signed(), text("b")], 0));
    assert_eq!(sent(&session, "c"), ["a", "b", "c"]);
    assert_eq!(session.take_back(), Some(vec![text("a")]));
    assert_eq!(sent(&session, "a"), ["a"]);
    session.stopped(vec![text("a")], "1".into(), answer(vec![signed()], 0));
    assert_eq!(sent(&session, "c"), ["c"], "an answer without text is not kept");
}

#[test]
fn a_stored_turn_that_is_asked_again_begins_a_new_conversation() {
    let mut session = Session::new(String::new(), None, true);
    session.created(stored(0));
    session.complete(vec![text("a")], "1".into(), answer(vec![text("b")], 1));
    session.complete(vec![text("c")], "2".into(), answer(vec![text("d")], 2));
    assert_eq!(session.take_back(), Some(vec![text("c")]));
    assert!(session.conversation().is_none());
    session.created(stored(0));
    assert_eq!(sent(&session, "c"), ["a", "b", "c"]);
    session.complete(vec![text("c")], "3".into(), answer(vec![text("e")], 1));
    assert_eq!(sent(&session, "f"), ["f"]);
    assert_eq!(session.messages().len(), 4);
}

#[test]
fn a_turn_that_failed_leaves_nothing_but_its_prompt() {
    let mut session = Session::new(String::new(), None, false);
    session.complete(vec![text("a")], "1".into(), answer(vec![text("b")], 0));
    session.failed(vec![text("c")], "2".into());
    assert_eq!(sent(&session, "d"), ["a", "b", "d"]);
    assert_eq!(session.take_back(), Some(vec![text("c")]));
    assert_eq!(session.take_back(), None);
    session.complete(vec![text("e")], "3".into(), answer(Vec::new(), 0));
    assert_eq!(sent(&session, "f"), ["a", "b", "f"], "an answer without content is no turn");
}

#[test]
fn a_turn_that_was_stored_although_it_was_stopped_is_not_sent_again() {
    let turn = |id: &str| Turn {
        turn_id: id.to_owned(),
        messages: [(Role::User, "a"), (Role::Assistant, "b")]
            .map(|(role, content)| Message { role: role.into(), content: vec![text(content)] })
            .to_vec(),
        ..Turn::default()
    };
    for (id, expected) in [("1", 1), ("another", 3)] {
        let mut session = Session::new(String::new(), None, true);
        session.created(stored(0));
        session.stopped(vec![text("a")], "1".into(), answer(vec![text("b")], 0));
        session.take_stored(stored(1), vec![turn(id)]);
        assert_eq!(sent(&session, "c").len(), expected, "{id}");
    }
}
