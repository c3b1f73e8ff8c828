//! A prompt streams: the main job.

use bedrock_emulator::{STORY_PROMPT, Script, Step};
use outcrop_client::proto::{
    ContentBlock, GenerateRequest, InferenceConfiguration, Message, Operation, Role, StopReason, SystemContentBlock,
    chunk::Event, content_block, system_content_block,
};
use serde_json::json;

use crate::harness::{Harness, finish_of, request, soon, start_of, text_of};

fn message(role: Role, text: &str) -> Message {
    let block = ContentBlock { block: Some(content_block::Block::Text(text.to_owned())) };
    Message { role: role.into(), content: vec![block] }
}

#[tokio::test]
async fn the_story_arrives_whole() {
    let harness = Harness::start().await;
    let request = GenerateRequest { prompt: STORY_PROMPT.into(), ..GenerateRequest::default() };
    let chunks = harness.ask(request).await.whole();
    let text = text_of(&chunks);
    assert!(text.starts_with("Pepper and Moss") && text.ends_with("holds it open."), "{text}");
    assert!(chunks.len() > 200, "it comes in pieces");
    let start = start_of(&chunks);
    assert_eq!(start.model_id, "emulator.default");
    assert_eq!(start.region, "us-east-1");
    assert_eq!(start.operation(), Operation::ConverseStream);
    assert_eq!((start.role(), start.role_name.as_str()), (Role::Assistant, "assistant"));
    assert_eq!(start.attempts.len(), 1);
    assert!(!start.generation_id.is_empty() && !start.request_id.is_empty());
    let finish = finish_of(&chunks);
    assert_eq!(finish.stop_reason(), StopReason::EndTurn);
    assert_eq!(finish.usage.as_ref().unwrap().input_tokens(), 11);
}

#[tokio::test]
async fn chunks_arrive_while_the_model_is_still_writing() {
    let harness = Harness::start().await;
    let steps = [
        Step::message_start(),
        Step::text("first"),
        Step::Repeat { times: usize::MAX, steps: vec![Step::WaitMs(60_000)] },
    ];
    let model = harness.emulator.register("unfinished", Script::of(steps));
    let mut chunks = soon(harness.client.generate(request(&model))).await.unwrap();
    soon(chunks.next()).await.unwrap();
    let chunk = soon(chunks.next()).await.unwrap().unwrap();
    assert_eq!(chunk.event, Some(Event::Text("first".into())));
}

#[tokio::test]
async fn everything_asked_reaches_bedrock() {
    let harness = Harness::start().await;
    let config = InferenceConfiguration {
        max_tokens: Some(100),
        temperature: Some(0.0),
        top_p: Some(0.5),
        stop_sequences: vec!["END".into()],
    };
    let system = |text: &str| SystemContentBlock { block: Some(system_content_block::Block::Text(text.into())) };
    let request = GenerateRequest {
        model: "us.amazon.nova-lite-v1:0".into(),
        prompt: "third".into(),
        messages: vec![message(Role::User, "first"), message(Role::Assistant, "second")],
        system: vec![system("be brief"), system("be kind")],
        inference_config: Some(config),
        ..GenerateRequest::default()
    };
    harness.ask(request).await.whole();
    let captured = harness.emulator.last_request().unwrap();
    assert_eq!((captured.operation, captured.model_id.as_str()), ("ConverseStream", "us.amazon.nova-lite-v1:0"));
    let expected = json!({
        "messages": [
            {"role": "user", "content": [{"text": "first"}]},
            {"role": "assistant", "content": [{"text": "second"}]},
            {"role": "user", "content": [{"text": "third"}]},
        ],
        "system": [{"text": "be brief"}, {"text": "be kind"}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
    });
    assert_eq!(captured.body, expected);
}

#[tokio::test]
async fn an_arn_is_one_segment_of_the_path() {
    let harness = Harness::start().await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    harness.ask(request(arn)).await.whole();
    assert_eq!(harness.emulator.last_request().unwrap().model_id, arn);
}

#[tokio::test]
async fn an_empty_answer_has_a_start_and_a_finish() {
    let harness = Harness::start().await;
    let script = Script::of([Step::message_start(), Step::message_stop("end_turn"), Step::metadata(1, 0)]);
    let chunks = harness.play("empty", script).await.whole();
    assert_eq!(chunks.len(), 2);
    start_of(&chunks);
    finish_of(&chunks);
}

#[tokio::test]
async fn a_large_prompt_arrives_whole() {
    let harness = Harness::start().await;
    let prompt = "word ".repeat(700_000);
    harness.ask(GenerateRequest { prompt: prompt.clone(), ..GenerateRequest::default() }).await.whole();
    let captured = harness.emulator.last_request().unwrap();
    assert_eq!(captured.body["messages"][0]["content"][0]["text"], prompt);
}
