//! Conversations: a turn that ended well is kept whole, and nothing else is.

mod bounds;

use bedrock_emulator::{At, FaultKind, Script, Step};
use outcrop::{config::Settings, conversation::settings::ConversationSettings};
use outcrop_client::{
    ClientError, Collector,
    proto::{
        Chunk, ContentBlock, ConversationBounds, CreateConversationRequest, GenerateRequest, Message, Role,
        SystemContentBlock, ToolResultBlock, content_block::Block, system_content_block,
    },
};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{Harness, collect, request, soon, text_of};

/// A turn that says this.
pub(crate) fn turn(conversation_id: &str, model: &str, prompt: &str) -> GenerateRequest {
    GenerateRequest { conversation_id: conversation_id.to_owned(), prompt: prompt.to_owned(), ..request(model) }
}

async fn with(change: impl FnOnce(&mut Settings)) -> Harness {
    Harness::with(|settings| {
        settings.attempts = 1;
        change(settings);
    })
    .await
}

async fn created(harness: &Harness, request: CreateConversationRequest) -> String {
    soon(harness.client.create_conversation(request)).await.unwrap().conversation_id
}

/// How many turns are kept.
async fn kept(harness: &Harness, id: &str) -> usize {
    soon(harness.client.conversation(id)).await.unwrap().1.len()
}

/// What Bedrock was asked last, without what the emulator does not need to be asked.
fn asked(harness: &Harness) -> Value {
    harness.emulator.last_request().unwrap().body["messages"].clone()
}

fn said(role: &str, text: &str) -> Value {
    json!({"role": role, "content": [{"text": text}]})
}

#[tokio::test]
async fn the_second_turn_brings_the_first_to_bedrock() {
    let harness = with(|_| {}).await;
    let model = harness.emulator.register("short", Script::reply("first answer"));
    let system = vec![SystemContentBlock { block: Some(system_content_block::Block::Text("Be brief.".into())) }];
    let begun = CreateConversationRequest { model: model.clone(), system, bounds: None };
    let id = created(&harness, begun).await;
    harness.ask(turn(&id, "", "  one  ")).await.whole();
    harness.emulator.register("short", Script::reply("second answer"));
    assert_eq!(text_of(&harness.ask(turn(&id, "", "two")).await.whole()), "second answer");
    let expected = [said("user", "  one  "), said("assistant", "first answer"), said("user", "two")];
    assert_eq!(asked(&harness), Value::from(expected.to_vec()));
    assert_eq!(harness.emulator.last_request().unwrap().body["system"], json!([{"text": "Be brief."}]));
    let (conversation, turns) = soon(harness.client.conversation(&id)).await.unwrap();
    assert_eq!((conversation.turn_count, conversation.title.as_str()), (2, "one"));
    assert_eq!(turns[1].messages.len(), 2);
    assert_eq!((turns[1].model_id.as_str(), turns[1].usage.is_some()), (model.as_str(), true));
    assert!(conversation.update_time.unwrap().seconds >= conversation.create_time.unwrap().seconds);
}

#[tokio::test]
async fn a_turn_that_failed_was_cut_or_left_is_not_kept_and_can_be_sent_again() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let answer = || Script::reply("One two three four");
    let broken = [
        answer().fault(FaultKind::End, At::Event(4)),
        answer().fault(FaultKind::Cut, At::Event(4)),
        answer().fault(FaultKind::Corrupt, At::Event(3)),
        Script::refuse(400, "ValidationException", "no"),
        Script::of([Step::text("a"), Step::exception("modelStreamErrorException", "no")]),
    ];
    for script in broken {
        let model = harness.emulator.register("broken", script);
        harness.ask(turn(&id, &model, "hi")).await.failed();
    }
    let mut left = soon(harness.client.generate(turn(&id, "emulator.endless", "hi"))).await.unwrap();
    soon(left.next()).await.unwrap();
    drop(left);
    harness.counted("streams_abandoned_total", &[], 1).await;
    assert_eq!(kept(&harness, &id).await, 0);
    let model = harness.emulator.register("well", answer());
    harness.ask(turn(&id, &model, "hi")).await.whole();
    assert_eq!((asked(&harness), kept(&harness, &id).await), (Value::from(vec![said("user", "hi")]), 1));
}

#[tokio::test]
async fn of_two_turns_at_once_the_second_is_told() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let slow =
        harness.emulator.register("slow", Script::of([Step::text("a"), Step::WaitMs(500), Step::message_stop("x")]));
    let first = soon(harness.client.generate(turn(&id, &slow, "one"))).await.unwrap();
    let (_, error) = harness.ask(turn(&id, "a.model", "two")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, "CONVERSATION_BUSY"));
    assert!(error.retry_delay.is_some());
    soon(collect(first)).await.whole();
    // The moment that the first is known to be whole the next may come.
    harness.ask(turn(&id, "emulator.tools", "two")).await.whole();
    assert_eq!(kept(&harness, &id).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_turns_at_once_each_that_is_ok_is_kept() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (client, asked) = (harness.client.clone(), turn(&id, "emulator.tools", "hi"));
        running.spawn(async move {
            match client.generate(asked).await {
                Ok(chunks) => collect(chunks).await.result,
                Err(error) => Err(error),
            }
        });
    }
    let mut ended_well = 0;
    while let Some(result) = soon(running.join_next()).await {
        match result.unwrap() {
            Ok(()) => ended_well += 1,
            Err(error) => assert!(error.to_string().starts_with("CONVERSATION_BUSY"), "{error}"),
        }
    }
    assert!(ended_well >= 1);
    assert_eq!(kept(&harness, &id).await, ended_well);
}

#[tokio::test]
async fn what_was_deleted_under_a_running_turn_stays_deleted() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let slow =
        harness.emulator.register("slow", Script::of([Step::text("a"), Step::WaitMs(300), Step::message_stop("x")]));
    let running = soon(harness.client.generate(turn(&id, &slow, "one"))).await.unwrap();
    soon(harness.client.delete_conversation(&id)).await.unwrap();
    let (chunks, error) = soon(collect(running)).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::NotFound, "CONVERSATION_NOT_FOUND"));
    assert_eq!((text_of(&chunks).as_str(), error.metadata["phase"].as_str()), ("a", "after_content"));
    let Err(ClientError::Call(error)) = soon(harness.client.conversation(&id)).await else { panic!("it is gone") };
    assert_eq!(error.reason, "CONVERSATION_NOT_FOUND");
}

#[tokio::test]
async fn reasoning_and_tools_go_on_byte_for_byte() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    harness.ask(turn(&id, "emulator.reasoning", "think")).await.whole();
    let chunks = harness.ask(turn(&id, "emulator.tools", "weather?")).await.whole();
    let result = ToolResultBlock { tool_use_id: tool_use_id(&chunks), ..ToolResultBlock::default() };
    let content = vec![ContentBlock { block: Some(Block::ToolResult(result)) }];
    let messages = vec![Message { role: Role::User.into(), content }];
    let asked_for = GenerateRequest { messages, prompt: String::new(), ..turn(&id, "emulator.tools", "") };
    assert_eq!(text_of(&harness.ask(asked_for).await.whole()), "It is sunny in Paris.");
    let reasoning = json!({"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "Two and two make four.", "signature": "ZW11bGF0ZWQ="}}},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
        {"text": "Four."},
    ]});
    let tool = json!({"role": "assistant", "content": [
        {"text": "Let me look."},
        {"toolUse": {"toolUseId": "tooluse_emulated1", "name": "get_weather", "input": {"city": "Paris"}}},
    ]});
    let messages = asked(&harness);
    assert_eq!((&messages[1], &messages[3]), (&reasoning, &tool));
    assert_eq!(messages[4]["content"][0]["toolResult"]["toolUseId"], "tooluse_emulated1");
}

fn tool_use_id(chunks: &[Chunk]) -> String {
    let mut collector = Collector::default();
    chunks.iter().cloned().for_each(|chunk| collector.add(chunk));
    collector.into_answer().tool_uses().next().unwrap().tool_use_id.clone()
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_reason() {
    let harness = with(|settings| settings.conversations = ConversationSettings::Off).await;
    let (_, error) = harness.ask(turn("x", "a.model", "hi")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Unimplemented, "NO_CONVERSATIONS"));
    let harness = with(|_| {}).await;
    let (_, error) = harness.ask(turn("nobody's", "a.model", "hi")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::NotFound, "CONVERSATION_NOT_FOUND"));
    let id = created(&harness, CreateConversationRequest::default()).await;
    let raw = GenerateRequest { native_body: "{}".to_owned(), prompt: String::new(), ..turn(&id, "a.model", "") };
    let (_, error) = harness.ask(raw).await.failed();
    assert_eq!(error.violations[0].field, "conversation_id");
    assert_eq!(harness.emulator.stats().requests, 0);
    let bounds = ConversationBounds { max_messages: 1, ..ConversationBounds::default() };
    let asked = CreateConversationRequest { model: "a b".into(), bounds: Some(bounds), ..Default::default() };
    let Err(ClientError::Call(error)) = soon(harness.client.create_conversation(asked)).await else {
        panic!("refused")
    };
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["model", "bounds.max_messages"]);
}

#[tokio::test]
async fn stored_answers_are_not_checked_as_input() {
    let harness = with(|_| {}).await;
    let start = |name: &str| Step::Event {
        event_type: "contentBlockStart".to_owned(),
        payload: json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "an id", "name": name}}}),
    };
    let image = |at: usize| Step::Event {
        event_type: "contentBlockDelta".to_owned(),
        payload: json!({"contentBlockIndex": at, "delta": {"image": {"source": {"bytes": "AAEC"}}}}),
    };
    let unusual = [
        Script::of([start("a tool with spaces"), Step::message_stop("tool_use")]),
        Script::of((0..21).map(image).chain([Step::message_stop("end_turn")]).collect::<Vec<_>>()),
        Script::of([start(&"x".repeat(200)), Step::message_stop("tool_use")]),
    ];
    for script in unusual {
        let id = created(&harness, CreateConversationRequest::default()).await;
        let model = harness.emulator.register("unusual", script);
        harness.ask(turn(&id, &model, "one")).await.whole();
        harness.ask(turn(&id, "emulator.tools", "two")).await.whole();
        assert_eq!(kept(&harness, &id).await, 2);
    }
}

#[tokio::test]
async fn a_turn_id_has_at_most_128_characters() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let with_id = |length| GenerateRequest { turn_id: "é".repeat(length), ..turn(&id, "emulator.tools", "hi") };
    let (_, error) = harness.ask(with_id(129)).await.failed();
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((error.reason.as_str(), fields), ("INVALID_REQUEST", vec!["turn_id"]), "{error}");
    harness.ask(with_id(128)).await.whole();
}

#[tokio::test]
async fn a_turn_id_is_stored_once_and_repeating_it_calls_no_model() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let asked = GenerateRequest { turn_id: "mine".to_owned(), ..turn(&id, "emulator.tools", "hi") };
    harness.ask(asked.clone()).await.whole();
    let requests = harness.emulator.stats().requests;
    let (_, error) = harness.ask(asked).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::AlreadyExists, "CONVERSATION_TURN_STORED"));
    assert_eq!((kept(&harness, &id).await, harness.emulator.stats().requests), (1, requests));
    assert_eq!(soon(harness.client.conversation(&id)).await.unwrap().1[0].turn_id, "mine");
}

#[tokio::test]
async fn a_turn_on_a_revision_that_the_caller_has_not_seen_is_refused() {
    let harness = with(|_| {}).await;
    let id = created(&harness, CreateConversationRequest::default()).await;
    let on = |revision| GenerateRequest { conversation_revision: Some(revision), ..turn(&id, "emulator.tools", "hi") };
    let chunks = harness.ask(on(0)).await.whole();
    assert_eq!(crate::harness::finish_of(&chunks).conversation_revision, Some(1));
    let (_, error) = harness.ask(on(0)).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, "CONVERSATION_CHANGED"));
    let chunks = harness.ask(on(1)).await.whole();
    let history = crate::harness::start_of(&chunks).history.unwrap();
    assert_eq!((history.turns, history.messages, history.omitted_turns, history.revision), (1, 2, 0, 1));
}
