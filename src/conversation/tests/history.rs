//! Any answer that is stored can be read again and is accepted as history, whatever a model has written.

use std::{fmt::Write as _, future::poll_fn};

use outcrop_contract::Collector;
use prost::Message as _;

use super::*;
use crate::{
    metrics::Metrics,
    proto::{
        Citation, ContentBlock, Heartbeat, ImageDelta, ImageSource, ImageStart, OtherEvent, ReasoningDelta, Role,
        ToolResultBlock, ToolResultBlockDelta, ToolResultContentBlock, ToolResultDelta, ToolResultStart, ToolUseStart,
        image_source, reasoning_delta, tool_result_block_delta, tool_result_content_block,
    },
    request::{self, Rules},
};

/// The answers of one run.
const ANSWERS: usize = 600;

/// Text as models write it, now and then.
fn any_text(random: &mut fastrand::Rng) -> String {
    let texts = ["", " ", "\n", "a", "two words", "{\"a\": ", "\u{0}", "\u{1F600}", "null", "-1e999"];
    (0..random.usize(..3)).map(|_| texts[random.usize(..texts.len())]).collect()
}

/// JSON that is nested this deep, or no JSON at all.
fn any_json(random: &mut fastrand::Rng) -> String {
    if random.u8(..4) == 0 {
        return any_text(random);
    }
    let most = if random.bool() { 3 } else { 130 };
    let depth = random.usize(..=most);
    let objects: Vec<_> = (0..depth).map(|_| random.bool()).collect();
    let mut json = String::new();
    for object in &objects {
        write!(json, "{}", if *object { "{\"a\":" } else { "[" }).unwrap();
    }
    json.push_str(["1", "\"x\"", "null", "1e300", "{}"][random.usize(..5)]);
    json.extend(objects.iter().rev().map(|object| if *object { '}' } else { ']' }));
    json
}

/// An event of an answer. Its parts need not suit each other.
fn any_event(random: &mut fastrand::Rng) -> Event {
    let (text, json) = (any_text(random), any_json(random));
    let id = ["", "an id", "x"][random.usize(..3)].to_owned();
    match random.u8(..13) {
        0 | 1 => Event::Text(text),
        2 => Event::Citation(Citation::default()),
        3 => Event::Reasoning(ReasoningDelta { delta: Some(reasoning_delta::Delta::Text(text)) }),
        4 => Event::Reasoning(ReasoningDelta { delta: Some(reasoning_delta::Delta::Signature(text)) }),
        5 => Event::Reasoning(ReasoningDelta { delta: Some(reasoning_delta::Delta::RedactedContent(text.into())) }),
        6 => Event::ToolUseStart(ToolUseStart { tool_use_id: id, name: text, r#type: String::new() }),
        7 => Event::ToolUseInput(json),
        8 => Event::ToolResultStart(ToolResultStart { tool_use_id: id, status: text, r#type: String::new() }),
        9 => {
            let json = outcrop_contract::json::parse(&json).ok().map(tool_result_block_delta::Delta::Json);
            let delta = json.or_else(|| random.bool().then_some(tool_result_block_delta::Delta::Text(text)));
            Event::ToolResult(ToolResultDelta { content: vec![ToolResultBlockDelta { delta }] })
        }
        10 => Event::ImageStart(ImageStart { format: text }),
        11 => {
            let source = random.bool().then(|| image_source::Source::Bytes(text.into()));
            Event::Image(ImageDelta { source: Some(ImageSource { source }), error: None })
        }
        _ if random.bool() => Event::Other(OtherEvent::default()),
        _ => Event::Heartbeat(Heartbeat::default()),
    }
}

/// What a caller asks: text, or the result of a tool.
fn any_question(random: &mut fastrand::Rng, id: &str) -> GenerateRequest {
    let json = outcrop_contract::json::parse(&any_json(random)).unwrap_or_default();
    let content = ToolResultContentBlock { block: Some(tool_result_content_block::Block::Json(json)) };
    let result = ToolResultBlock { tool_use_id: "x".to_owned(), content: vec![content], ..ToolResultBlock::default() };
    let user = |block| Message { role: Role::User.into(), content: vec![ContentBlock { block: Some(block) }] };
    let asked = vec![user(Block::Text("hi".to_owned())), user(Block::ToolResult(result))];
    let messages = if random.bool() { asked } else { Vec::new() };
    GenerateRequest {
        model: "a.model".to_owned(),
        conversation_id: id.to_owned(),
        messages,
        prompt: "hi".to_owned(),
        ..GenerateRequest::default()
    }
}

/// One turn, as the service runs it. `None` if its request is refused.
async fn run(conversations: &Conversations, mut request: GenerateRequest, answer: Vec<Chunk>) -> Option<Vec<Message>> {
    // What came over the wire could be decoded.
    GenerateRequest::decode(request.encode_to_vec().as_slice()).ok()?;
    let mut turn = conversations.of("ada").begin(&mut request).await.expect("a stored turn can be read").unwrap();
    let (mut checked, _) = request::check(request, &Rules::default()).ok()?;
    checked.request.prepend_history(turn.take_history());
    let mut collector = Collector::default();
    for chunk in answer {
        collector.add(chunk);
    }
    let mut finish = chunk(Event::Finish(Box::default()));
    turn.store(collector.into_answer());
    poll_fn(|cx| turn.poll_stored(cx, &mut finish)).await.unwrap();
    Some(checked.request.into_inner().messages)
}

#[tokio::test]
async fn whatever_answer_is_stored_is_accepted_as_history() {
    let bounds = Bounds { messages: u32::MAX, ..Bounds::default() };
    let conversations =
        Conversations::open(&ConversationSettings::Memory, bounds, LIMITS, &Metrics::default()).await.unwrap();
    let mut stored = 0;
    for seed in 0..ANSWERS as u64 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let created = conversations.of("ada").create(CreateConversationRequest::default()).await.unwrap();
        let id = created.conversation_id;
        let answer = (0..random.usize(1..12)).map(|_| Chunk {
            content_block_index: Some(random.i32(..3)),
            event: Some(any_event(random)),
            ..Chunk::default()
        });
        let answer: Vec<_> = answer.collect();
        let Some(first) = run(&conversations, any_question(random, &id), answer.clone()).await else { continue };
        let get = GetConversationRequest { conversation_id: id.clone(), ..GetConversationRequest::default() };
        let read =
            conversations.of("ada").get(&get).await.unwrap_or_else(|error| panic!("seed {seed}: {error}: {answer:?}"));
        let encoded = read.encode_to_vec();
        GetConversationResponse::decode(encoded.as_slice()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let Some(turn) = read.turns.first() else { continue };
        stored += 1;
        let next = GenerateRequest { prompt: "next".to_owned(), ..any_question(&mut fastrand::Rng::with_seed(0), &id) };
        let next = GenerateRequest { messages: Vec::new(), ..next };
        let messages = run(&conversations, next, Vec::new()).await.expect("history is not checked as input");
        assert_eq!(messages.len(), first.len() + 2, "seed {seed}");
        assert_eq!(messages[..=first.len()], turn.messages, "seed {seed}");
    }
    assert!(stored > ANSWERS / 2, "{stored} of {ANSWERS} answers were stored");
}
