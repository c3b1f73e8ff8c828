//! The message that `finish` has is the one that the chunks say, the one that Converse returns, and one that can be sent back. It costs no
//! more memory than there is, and no caller loses an answer for it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bedrock_emulator::{Script, Step};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use outcrop_client::{
    Collector,
    proto::{
        ContentBlock, CreateConversationRequest, GenerateRequest, InferenceConfiguration, Message, OperationChoice,
        Role, chunk::Event, content_block::Block,
    },
};
use serde_json::{Value, json};

use crate::{
    harness::{Harness, finish_of, request, soon},
    recordings::recordings,
};

const MIB: usize = 1 << 20;

/// The scripts of the emulator that end with OK and have content.
const SCRIPTS: [&str; 5] = ["everything", "newer", "reasoning", "tools", "slow"];

fn with_message(model: &str) -> GenerateRequest {
    GenerateRequest { include_message: true, ..request(model) }
}

/// Asks for an answer with its message. Returns the message, after a comparison with what the chunks say.
async fn message_of(harness: &Harness, request: GenerateRequest) -> Message {
    let chunks = harness.ask(request).await.whole();
    let message = finish_of(&chunks).message.clone().expect("the caller asked for it");
    let mut collector = Collector::default();
    for mut chunk in chunks {
        if let Some(Event::Finish(finish)) = &mut chunk.event {
            finish.message = None;
        }
        collector.add(chunk);
    }
    assert_eq!(message, collector.into_answer().message);
    message
}

/// The message as Bedrock gets it in the next request.
async fn sent_back(harness: &Harness, message: Message) -> Value {
    let user = |text: &str| Message {
        role: Role::User.into(),
        content: vec![ContentBlock { block: Some(Block::Text(text.into())) }],
    };
    let messages = vec![user("hi"), message, user("go on")];
    let next = GenerateRequest { model: "a.model".into(), messages, ..GenerateRequest::default() };
    harness.ask(next).await.whole();
    harness.emulator.last_request().unwrap().body["messages"][1].clone()
}

/// The message of Converse for the same model, as the emulator puts it together. It has what the contract does not know, and blank text, which Bedrock does not accept back.
async fn converse(harness: &Harness, model: &str) -> Value {
    let http = Http::builder(TokioExecutor::new()).build_http();
    let body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}).to_string();
    let asked = Request::post(format!("{}/model/{model}/converse", harness.emulator.endpoint()))
        .header("content-type", "application/json")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/bedrock/aws4_request")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = soon(http.request(asked)).await.unwrap();
    assert_eq!(answer.status(), 200, "{model}");
    let answer: Value = serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap();
    let mut message = answer["output"]["message"].clone();
    message["role"] = json!("assistant");
    let content = message["content"].as_array_mut().unwrap();
    content.retain(|block| {
        block.get("hologram").is_none() && block["text"].as_str().is_none_or(|text| !text.trim().is_empty())
    });
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_is_that_of_the_chunks_and_of_converse_and_goes_back_to_bedrock() {
    let harness = Harness::start().await;
    for name in SCRIPTS {
        let model = format!("emulator.{name}");
        let message = message_of(&harness, with_message(&model)).await;
        assert!(!message.content.is_empty(), "{name}");
        assert_eq!(sent_back(&harness, message).await, converse(&harness, &model).await, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_of_every_recorded_answer_is_that_of_converse() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    let mut compared = 0;
    for recording in all.iter().filter(|recording| recording.operation == "ConverseStream") {
        let ends = recording.events.iter().any(|event| event.event_type.as_deref() == Some("messageStop"));
        if recording.response.status != 200 || !ends {
            continue;
        }
        let model = harness.emulator.register("recorded", recording.script());
        let message = message_of(&harness, with_message(&model)).await;
        let expected = converse(&harness, &model).await;
        if message.content.is_empty() {
            assert_eq!(expected["content"], json!([]), "{}", recording.name);
        } else {
            assert_eq!(sent_back(&harness, message).await, expected, "{}", recording.name);
        }
        compared += 1;
    }
    println!("{compared} recorded answers compared");
    assert!(compared > 0);
}

#[tokio::test]
async fn the_native_operation_has_it_too() {
    let harness = Harness::start().await;
    let model = "anthropic.claude-3-haiku-20240307-v1:0";
    let inference_config = Some(InferenceConfiguration { max_tokens: Some(100), ..Default::default() });
    let asked = GenerateRequest { operation: OperationChoice::Native.into(), inference_config, ..with_message(model) };
    let message = message_of(&harness, asked).await;
    assert!(matches!(&message.content[0].block, Some(Block::Text(text)) if text.contains("hi")), "{message:?}");
}

#[tokio::test]
async fn without_asking_there_is_none_and_a_raw_body_has_none() {
    let harness = Harness::start().await;
    let chunks = harness.ask(request("emulator.everything")).await.whole();
    assert_eq!(finish_of(&chunks).message, None);
    let native_body = json!({"messages": []}).to_string();
    let raw = GenerateRequest { native_body, include_message: true, model: "a.model".into(), ..Default::default() };
    let (_, error) = harness.ask(raw).await.failed();
    assert_eq!(error.reason, "INVALID_REQUEST");
    assert!(error.to_string().contains("include_message"), "{error}");
}

#[tokio::test]
async fn a_turn_that_asks_for_it_is_stored_with_the_same_message() {
    let harness = Harness::start().await;
    let created = soon(harness.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    let asked =
        GenerateRequest { conversation_id: created.conversation_id.clone(), ..with_message("emulator.everything") };
    let message = message_of(&harness, asked).await;
    let (_, turns) = soon(harness.client.conversation(&created.conversation_id)).await.unwrap();
    assert_eq!(turns.last().and_then(|turn| turn.messages.last()), Some(&message));
}

/// An image in pieces of 3 MiB.
fn image(pieces: usize) -> Script {
    let bytes = BASE64_STANDARD.encode(vec![7; 3 * MIB]);
    let piece = Step::delta(0, json!({"image": {"source": {"bytes": bytes}}}));
    let start = json!({"contentBlockIndex": 0, "start": {"image": {"format": "png"}}});
    let begin = [Step::message_start(), Step::event("contentBlockStart", start)];
    let end = [Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(1, 1)];
    Script::of(begin.into_iter().chain(vec![piece; pieces]).chain(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_or_finds_no_memory_is_whole_without_it() {
    // The message has at most 16 MiB, and takes twice as much of the memory, of which one caller has at most a half.
    for (memory, pieces, fits) in [(512, 1, true), (512, 5, true), (512, 6, false), (32, 5, false)] {
        let harness = Harness::with(|settings| {
            settings.attempts = 1;
            settings.max_request_memory = memory * MIB;
        })
        .await;
        let model = harness.emulator.register("image", image(pieces));
        let chunks = harness.ask(with_message(&model)).await.whole();
        assert_eq!(finish_of(&chunks).message.is_some(), fits, "{pieces} pieces, {memory} MiB");
        drop(chunks);
        harness.counted("request_memory_bytes", &[], 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_input_of_a_tool_with_many_small_objects_takes_what_they_take_as_values() {
    let harness = Harness::with(|settings| settings.max_request_memory = 32 * MIB).await;
    let start = json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "n"}}});
    // As long, and as many bytes as values: a node of a map has room for eleven members, also for the first.
    for (value, fits) in [(r#""      ""#, true), (r#"{"":0}  "#, false)] {
        let input = format!(r#"{{"a":[{}]}}"#, vec![value; 32 << 10].join(","));
        let begin = [Step::message_start(), Step::event("contentBlockStart", start.clone())];
        let input = Step::delta(0, json!({"toolUse": {"input": input}}));
        let end = [Step::block_stop(0), Step::message_stop("tool_use"), Step::metadata(1, 1)];
        let script = Script::of(begin.into_iter().chain([input]).chain(end));
        let model = harness.emulator.register("objects", script);
        let chunks = harness.ask(with_message(&model)).await.whole();
        assert_eq!(finish_of(&chunks).message.is_some(), fits, "{value}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_gives_the_memory_back() {
    let harness = Harness::start().await;
    let mut chunks = soon(harness.client.generate(with_message("emulator.endless"))).await.unwrap();
    for _ in 0..20 {
        soon(chunks.next()).await.unwrap();
    }
    assert!(harness.count("request_memory_bytes", &[]) > 0);
    drop(chunks);
    harness.counted("request_memory_bytes", &[], 0).await;
}

#[tokio::test]
async fn the_client_takes_the_message_of_the_server_for_a_whole_answer() {
    let harness = Harness::start().await;
    let answer = soon(harness.client.answer(request("emulator.everything"))).await.unwrap();
    assert_eq!(answer.finish.message.as_ref(), Some(&answer.message));
    assert_eq!(answer.message.content.len(), 6);
}
