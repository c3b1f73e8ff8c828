//! Nothing lost: tools, reasoning, and what is newer than the contract.

use bedrock_emulator::{Script, Step};
use outcrop_client::proto::{StopReason, chunk::Event, reasoning_delta::Delta};

use crate::harness::{Harness, finish_of, request, start_of};

#[tokio::test]
async fn a_tool_use_arrives_with_its_id_and_its_input() {
    let harness = Harness::start().await;
    let chunks = harness.ask(request("emulator.tools")).await.whole();
    let start = chunks.iter().find_map(|chunk| match &chunk.event {
        Some(Event::ToolUseStart(start)) => Some((chunk.content_block_index, start.clone())),
        _ => None,
    });
    let (index, start) = start.unwrap();
    assert_eq!((index, start.tool_use_id.as_str(), start.name.as_str()), (Some(1), "tooluse_emulated1", "get_weather"));
    let inputs = chunks.iter().filter_map(|chunk| match &chunk.event {
        Some(Event::ToolUseInput(input)) => Some(input.as_str()),
        _ => None,
    });
    assert_eq!(inputs.collect::<String>(), r#"{"city": "Paris"}"#);
    assert_eq!(finish_of(&chunks).stop_reason(), StopReason::ToolUse);
}

#[tokio::test]
async fn reasoning_arrives_with_signature_and_redacted_bytes() {
    let harness = Harness::start().await;
    let chunks = harness.ask(request("emulator.reasoning")).await.whole();
    let deltas: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| match &chunk.event {
            Some(Event::Reasoning(reasoning)) => reasoning.delta.clone(),
            _ => None,
        })
        .collect();
    let expected = [
        Delta::Text("Two and two".into()),
        Delta::Text(" make four.".into()),
        Delta::Signature("ZW11bGF0ZWQ=".into()),
        Delta::RedactedContent("secret".into()),
    ];
    assert_eq!(deltas, expected);
}

#[tokio::test]
async fn an_answer_newer_than_the_contract_arrives_with_everything_in_it() {
    let harness = Harness::start().await;
    let chunks = harness.ask(request("emulator.newer")).await.whole();
    assert_eq!(start_of(&chunks).role_name, "narrator");
    assert!(chunks[0].unrecognized.as_ref().unwrap().fields.contains_key("messageStart"));
    let others: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| match &chunk.event {
            Some(Event::Other(other)) => Some((other.event_type.as_str(), other.json.as_str())),
            _ => None,
        })
        .collect();
    let hologram = r#"{"contentBlockIndex":0,"delta":{"hologram":{"depth":3}}}"#;
    assert_eq!(others, [("contentBlockDelta", hologram), ("weather", r#"{"sky":"blue"}"#)]);
    let finish = finish_of(&chunks);
    assert_eq!((finish.stop_reason(), finish.stop_reason_name.as_str()), (StopReason::Unspecified, "sleepy"));
    let rest = &chunks.last().unwrap().unrecognized.as_ref().unwrap().fields;
    assert!(rest.contains_key("messageStop") && rest.contains_key("metadata"), "{rest:?}");
}

#[tokio::test]
async fn an_unknown_event_that_is_not_json_is_passed_on() {
    let harness = Harness::start().await;
    let header = |name: &'static str, value: &'static str| {
        aws_smithy_types::event_stream::Header::new(
            name,
            aws_smithy_types::event_stream::HeaderValue::String(value.into()),
        )
    };
    let headers = vec![header(":event-type", "telegram"), header(":message-type", "event")];
    let message = aws_smithy_types::event_stream::Message::new_from_parts(headers, &b"STOP"[..]);
    let mut bytes = Vec::new();
    aws_smithy_eventstream::frame::write_message_to(&message, &mut bytes).unwrap();
    let steps = [Step::message_start(), Step::text("a"), Step::Bytes(bytes), Step::message_stop("end_turn")];
    let chunks = harness.play("telegram", Script::of(steps)).await.whole();
    let Some(Event::Other(other)) = &chunks[2].event else { panic!("{chunks:?}") };
    assert_eq!((other.event_type.as_str(), other.json.as_str()), ("telegram", "STOP"));
}
