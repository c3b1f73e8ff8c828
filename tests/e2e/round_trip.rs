//! An answer goes back into the conversation unchanged: what Bedrock sent in the first answer is what it gets with the second
//! request, block by block.

use bedrock_emulator::{Script, Step};
use outcrop_client::{
    Answer,
    proto::{
        ContentBlock, CountTokensRequest, GenerateRequest, Message, Role, ToolResultBlock, ToolResultContentBlock,
        content_block::Block, tool_result_content_block,
    },
};
use serde_json::{Value, json};

use crate::harness::{Harness, request, soon};

fn user(block: Block) -> Message {
    Message { role: Role::User.into(), content: vec![ContentBlock { block: Some(block) }] }
}

async fn answer(harness: &Harness, model: &str) -> Answer {
    soon(async { harness.client.generate(request(model)).await.unwrap().answer().await.unwrap() }).await
}

/// Sends the answer back with one more user message; the assistant's turn as Bedrock gets it.
async fn sent_back(harness: &Harness, answer: Answer, next: Message) -> Value {
    let messages = vec![user(Block::Text("hi".into())), answer.message, next];
    let request = GenerateRequest { model: "a.model".into(), messages, ..GenerateRequest::default() };
    harness.ask(request).await.whole();
    harness.emulator.last_request().unwrap().body["messages"][1].clone()
}

#[tokio::test]
async fn a_tool_use_goes_back_with_its_id_and_its_input() {
    let harness = Harness::start().await;
    let answer = answer(&harness, "emulator.tools").await;
    let id = answer.tool_uses().next().unwrap().tool_use_id.clone();
    let text = ToolResultContentBlock { block: Some(tool_result_content_block::Block::Text("sunny".into())) };
    let result = ToolResultBlock { tool_use_id: id, content: vec![text], ..ToolResultBlock::default() };
    let turn = sent_back(&harness, answer, user(Block::ToolResult(result))).await;
    let tool = json!({"toolUseId": "tooluse_emulated1", "name": "get_weather", "input": {"city": "Paris"}});
    assert_eq!(turn, json!({"role": "assistant", "content": [{"text": "Let me look."}, {"toolUse": tool}]}));
    let body = harness.emulator.last_request().unwrap().body;
    let result = json!({"toolUseId": "tooluse_emulated1", "content": [{"text": "sunny"}]});
    assert_eq!(body["messages"][2]["content"], json!([{"toolResult": result}]));
}

#[tokio::test]
async fn whole_numbers_in_the_input_of_a_tool_stay_whole() {
    let harness = Harness::start().await;
    let start = json!({"toolUse": {"toolUseId": "t", "name": "add"}});
    let script = Script::of([
        Step::message_start(),
        Step::event("contentBlockStart", json!({"contentBlockIndex": 0, "start": start})),
        Step::delta(0, json!({"toolUse": {"input": r#"{"a": 5, "b": -2, "c": 0.5, "d": [1e3, null, true]}"#}})),
        Step::block_stop(0),
        Step::message_stop("tool_use"),
        Step::metadata(1, 1),
    ]);
    let model = harness.emulator.register("numbers", script);
    let answer = answer(&harness, &model).await;
    let turn = sent_back(&harness, answer, user(Block::Text("go on".into()))).await;
    let input = turn["content"][0]["toolUse"]["input"].to_string();
    assert_eq!(input, r#"{"a":5,"b":-2,"c":0.5,"d":[1000,null,true]}"#);
}

#[tokio::test]
async fn reasoning_goes_back_with_its_signature_and_its_redacted_bytes() {
    let harness = Harness::start().await;
    let answer = answer(&harness, "emulator.reasoning").await;
    assert_eq!(answer.text(), "Four.");
    let turn = sent_back(&harness, answer, user(Block::Text("are you sure?".into()))).await;
    let reasoning = json!({"reasoningText": {"text": "Two and two make four.", "signature": "ZW11bGF0ZWQ="}});
    let expected = json!([
        {"reasoningContent": reasoning},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
        {"text": "Four."},
    ]);
    assert_eq!(turn["content"], expected);
}

#[tokio::test]
async fn everything_that_an_answer_can_hold_goes_back() {
    let harness = Harness::start().await;
    let answer = answer(&harness, "emulator.everything").await;
    let turn = sent_back(&harness, answer, user(Block::Text("and then?".into()))).await;
    let citation = json!({
        "title": "On cats", "source": "cats.pdf", "sourceContent": [{"text": "Cats sleep a lot."}],
        "location": {"documentPage": {"documentIndex": 0, "start": 2, "end": 3}},
    });
    let expected = json!([
        {"reasoningContent": {"reasoningText": {"text": "The user asks about cats.", "signature": "ZW11bGF0ZWQ="}}},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
        {"citationsContent": {"content": [{"text": "Cats sleep a lot [1]."}], "citations": [citation]}},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "search", "type": "server_tool_use", "input": {"query": "cats", "limit": 3}}},
        {"toolResult": {"toolUseId": "tooluse_1", "status": "success", "type": "search_result",
                        "content": [{"text": "Two results."}, {"json": {"hits": 2}}]}},
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
    ]);
    assert_eq!(turn["content"], expected);
}

#[tokio::test]
async fn tokens_are_counted_for_the_same_conversation() {
    let harness = Harness::start().await;
    let request = CountTokensRequest {
        model: "a.model".into(),
        prompt: "three little words".into(),
        messages: vec![user(Block::Text("two words".into()))],
        ..CountTokensRequest::default()
    };
    assert_eq!(soon(harness.client.count_tokens(request)).await.unwrap(), 5);
    let captured = harness.emulator.last_request().unwrap();
    assert_eq!(captured.operation, "CountTokens");
    let error = soon(harness.client.count_tokens(CountTokensRequest::default())).await.unwrap_err();
    assert!(error.to_string().contains("INVALID_REQUEST"), "{error}");
}
