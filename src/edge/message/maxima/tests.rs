//! What is refused, what is not, and that the estimate is one.

use prost::Message as _;

use super::*;
use crate::proto::{
    self, ContentBlock, FILE_DESCRIPTOR_SET, GenerateRequest, Message, Tool, ToolConfiguration, ToolUseBlock,
    content_block::Block,
};

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

fn check(request: &GenerateRequest) -> Result<u64, Error> {
    Shapes::of(FILE_DESCRIPTOR_SET).unwrap().check(GENERATE, &request.encode_to_vec())
}

fn with_blocks(number: usize) -> GenerateRequest {
    let messages = vec![Message { role: 1, content: vec![ContentBlock::default(); number] }];
    GenerateRequest { messages, ..GenerateRequest::default() }
}

/// A list of JSON with this many members.
fn json(members: usize) -> prost_types::Struct {
    let text = format!(r#"{{"list": [{}]}}"#, vec!["1"; members].join(","));
    crate::json::parse_object(&text).unwrap()
}

fn with_json(members: usize) -> GenerateRequest {
    GenerateRequest { additional_model_request_fields: Some(json(members)), ..GenerateRequest::default() }
}

fn refused(request: &GenerateRequest, field: &str) {
    let error = check(request).unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidRequest);
    assert_eq!(error.violations()[0].field, field, "{error}");
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn entries_beyond_the_maxima_are_refused_with_their_field() {
    refused(&with_blocks(100_001), "messages.content");
    let messages = vec![Message::default(); 10_001];
    refused(&GenerateRequest { messages, ..GenerateRequest::default() }, "messages");
    let tools = ToolConfiguration { tools: vec![Tool::default(); 10_001], ..ToolConfiguration::default() };
    refused(&GenerateRequest { tool_config: Some(tools), ..GenerateRequest::default() }, "tool_config.tools");
    refused(&with_json(500_000), "additional_model_request_fields");
    let input = Some(prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(json(500_000))) });
    let block = Block::ToolUse(ToolUseBlock { input, ..ToolUseBlock::default() });
    let messages = vec![Message { role: 1, content: vec![ContentBlock { block: Some(block) }] }];
    refused(&GenerateRequest { messages, ..GenerateRequest::default() }, "messages.content.tool_use.input");
}

#[test]
fn large_requests_of_honest_callers_are_within_the_maxima() {
    check(&with_blocks(100_000)).unwrap();
    check(&with_json(400_000)).unwrap();
    let text = |length| ContentBlock { block: Some(Block::Text("x".repeat(length))) };
    let message = Message { role: 1, content: vec![text(3_000)] };
    check(&GenerateRequest { messages: vec![message; 10_000], ..GenerateRequest::default() }).unwrap();
}

#[test]
fn every_method_has_its_message_counted() {
    let shapes = Shapes::of(FILE_DESCRIPTOR_SET).unwrap();
    let methods = ["Generate", "CountTokens", "ListModels", "CreateConversation", "GetConversation"];
    for method in methods {
        assert!(shapes.inputs.contains_key(&format!("/outcrop.v1.GenerationService/{method}")), "{method}");
    }
    let request = proto::CountTokensRequest { messages: with_blocks(100_001).messages, ..Default::default() };
    let error = shapes.check("/outcrop.v1.GenerationService/CountTokens", &request.encode_to_vec()).unwrap_err();
    assert_eq!(error.violations()[0].field, "messages.content");
    for (name, _) in MAXIMA {
        assert!(shapes.types.iter().any(|shape| shape.name == name), "{name} is no type of the contract");
    }
}

#[test]
fn the_estimate_is_not_below_what_the_entries_take() {
    for (request, entries, each) in [
        (with_blocks(50_000), 50_000, size_of::<ContentBlock>()),
        (with_json(50_000), 50_000, size_of::<prost_types::Value>()),
        (
            GenerateRequest { messages: vec![Message::default(); 9_000], ..GenerateRequest::default() },
            9_000,
            size_of::<Message>(),
        ),
    ] {
        let (estimate, least) = (check(&request).unwrap(), (entries * each) as u64);
        assert!((least..=6 * least).contains(&estimate), "{estimate} for {entries} of {each} bytes");
    }
    let text = GenerateRequest { prompt: "x".repeat(1 << 20), ..GenerateRequest::default() };
    let estimate = check(&text).unwrap();
    assert!((1 << 20..(1 << 20) + 8_192).contains(&estimate), "{estimate}");
}

#[test]
fn bytes_that_are_no_message_are_left_to_the_decoder() {
    let shapes = Shapes::of(FILE_DESCRIPTOR_SET).unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = with_json(50).encode_to_vec();
    for _ in 0..10_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        assert!(shapes.check(GENERATE, &bytes).is_ok(), "seed {seed}: {bytes:?}");
    }
    // Deeper than any decoder goes.
    let mut deep = Vec::new();
    for _ in 0..1_000 {
        let mut around = vec![0x0a];
        prost::encoding::encode_varint(deep.len() as u64, &mut around);
        around.extend(&deep);
        deep = around;
    }
    shapes.check(GENERATE, &deep).unwrap();
}

#[test]
fn nesting_hides_nothing_that_is_decoded_after_it() {
    let too_many = with_blocks(100_001).encode_to_vec();
    let decodable: Vec<_> = (98..103)
        .filter(|levels| {
            let mut bytes = nested(*levels);
            bytes.extend(&too_many);
            let decodes = GenerateRequest::decode(bytes.as_slice()).is_ok();
            let counted = Shapes::of(FILE_DESCRIPTOR_SET).unwrap().check(GENERATE, &bytes);
            assert!(!decodes || counted.is_err(), "{levels} levels");
            decodes
        })
        .collect();
    assert_eq!(decodable.last(), Some(&DEPTH), "the levels of the decoder are those of the count");
}

/// Objects in objects, with this many levels of messages.
fn nested(levels: usize) -> Vec<u8> {
    (1..=levels).rev().fold(Vec::new(), |inner, level| {
        let key = match level % 3 {
            _ if level == 1 => 0x42, // additional_model_request_fields
            1 => 0x2a,               // Value.struct_value
            2 => 0x0a,               // Struct.fields
            _ => 0x12,               // the value of its entry
        };
        let mut outer = vec![key];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    })
}
