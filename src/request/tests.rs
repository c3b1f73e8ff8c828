//! Tests of the request check: every rule, and its message.

use prost_types::{ListValue, Value, value::Kind};

use super::*;
use crate::{
    error::Reason,
    json,
    proto::{
        DocumentBlock, DocumentSource, ImageBlock, ImageSource, InferenceConfiguration, JsonSchemaDefinition,
        OutputConfig, OutputFormat, OutputFormatStructure, ToolConfiguration, ToolResultBlock, ToolUseBlock,
        content_block::Block, document_source, image_source, output_format_structure,
    },
};

fn text(role: Role, text: &str) -> Message {
    let block = ContentBlock { block: Some(content_block::Block::Text(text.to_owned())) };
    Message { role: role.into(), content: vec![block] }
}

fn rules(default_model: Option<&str>) -> Rules {
    Rules { default_model: default_model.map(str::to_owned), ..Rules::default() }
}

fn valid(request: GenerateRequest) -> GenerateRequest {
    check(request, &rules(Some("a.model"))).unwrap().0.request.into_inner()
}

fn violations(request: GenerateRequest) -> (Reason, Vec<String>) {
    let error = check(request, &rules(Some("a.model"))).unwrap_err();
    (error.reason(), error.violations().iter().map(|violation| violation.field.clone()).collect())
}

#[test]
fn a_prompt_becomes_the_last_user_message() {
    let messages = vec![text(Role::User, "a"), text(Role::Assistant, "b")];
    let request = GenerateRequest { prompt: "c".into(), messages, ..GenerateRequest::default() };
    let valid = valid(request);
    assert_eq!((valid.model.as_str(), valid.prompt.as_str()), ("a.model", ""));
    assert_eq!(valid.messages.len(), 3);
    assert_eq!(valid.messages[2], text(Role::User, "c"));
}

#[test]
fn the_model_of_the_request_wins_and_without_any_it_is_a_violation() {
    let request = GenerateRequest { model: "b.model".into(), prompt: "x".into(), ..GenerateRequest::default() };
    assert_eq!(valid(request.clone()).model, "b.model");
    let request = GenerateRequest { model: String::new(), ..request };
    let error = check(request, &rules(None)).unwrap_err();
    assert!(error.to_string().contains("--default-model"), "{error}");
}

#[test]
fn all_violations_come_at_once() {
    let config = InferenceConfiguration {
        max_tokens: Some(0),
        temperature: Some(1.5),
        top_p: Some(f32::NAN),
        stop_sequences: vec!["x".into(), String::new()],
    };
    let empty = Message { role: 99, content: vec![] };
    let request = GenerateRequest {
        model: "a model".into(),
        messages: vec![text(Role::Assistant, " "), empty, Message { role: 1, content: vec![ContentBlock::default()] }],
        inference_config: Some(config),
        tool_config: Some(ToolConfiguration::default()),
        ..GenerateRequest::default()
    };
    let (reason, fields) = violations(request);
    assert_eq!(reason, Reason::InvalidRequest);
    let expected = [
        "model",
        "messages[0].role",
        "messages[0].content[0].text",
        "messages[1].role",
        "messages[1].content",
        "messages[2].content[0]",
        "tool_config.tools",
        "inference_config.max_tokens",
        "inference_config.temperature",
        "inference_config.top_p",
        "inference_config.stop_sequences[1]",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_empty_request_says_what_to_set() {
    let (reason, fields) = violations(GenerateRequest::default());
    assert_eq!((reason, fields), (Reason::InvalidRequest, vec!["prompt".to_owned()]));
}

/// A user message with these blocks: the fields that are wrong.
fn fields_of(blocks: Vec<Block>) -> Vec<String> {
    let content = blocks.into_iter().map(|block| ContentBlock { block: Some(block) }).collect();
    let messages = vec![text(Role::User, "a"), Message { role: Role::User.into(), content }];
    match check(GenerateRequest { messages, ..GenerateRequest::default() }, &rules(Some("a.model"))) {
        Ok(_) => Vec::new(),
        Err(error) => error.violations().iter().map(|violation| violation.field.clone()).collect(),
    }
}

fn document(name: &str) -> Block {
    let source = DocumentSource { source: Some(document_source::Source::Bytes("x".into())) };
    Block::Document(DocumentBlock { name: name.to_owned(), source: Some(source), ..DocumentBlock::default() })
}

#[test]
fn a_picture_needs_a_format_and_bytes() {
    let nothing = ImageBlock::default();
    assert_eq!(
        fields_of(vec![Block::Image(nothing)]),
        ["messages[1].content[0].image.format", "messages[1].content[0].image.source"]
    );
    let source = ImageSource { source: Some(image_source::Source::Bytes("".into())) };
    let empty = ImageBlock { format: "png".into(), source: Some(source), error: None };
    assert_eq!(fields_of(vec![Block::Image(empty)]), ["messages[1].content[0].image.source.bytes"]);
}

#[test]
fn documents_are_counted_and_named_as_bedrock_wants() {
    assert_eq!(fields_of(vec![document("A report (2) [final]-x")]), [""; 0]);
    for name in ["", "a_b", "two  spaces", &"x".repeat(201)] {
        assert_eq!(fields_of(vec![document(name)]), ["messages[1].content[0].document.name"], "{name}");
    }
    assert_eq!(fields_of(vec![document("a"); 21]), ["messages[1].content"]);
}

#[test]
fn a_tool_result_needs_the_id_of_its_tool_use() {
    let fields = fields_of(vec![Block::ToolResult(ToolResultBlock::default())]);
    assert_eq!(fields, ["messages[1].content[0].tool_result.tool_use_id"]);
}

#[test]
fn json_nested_deeper_than_a_stored_turn_can_hold_is_refused() {
    let nested = |levels: usize| {
        let list = |value| Value { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) };
        let input: Value = (0..levels).fold(Value::from("x"), |value, _| list(value));
        let (tool_use_id, name) = ("id".to_owned(), "tool".to_owned());
        let tool = ToolUseBlock { tool_use_id, name, input: Some(input), ..ToolUseBlock::default() };
        fields_of(vec![Block::ToolUse(tool)])
    };
    assert_eq!(nested(json::MAX_NESTING), [""; 0]);
    assert_eq!(nested(json::MAX_NESTING + 1), ["messages[1].content[0].tool_use.input"]);
}

#[test]
fn a_json_schema_must_be_json() {
    let definition = JsonSchemaDefinition { schema: "{not json".into(), ..JsonSchemaDefinition::default() };
    let structure =
        OutputFormatStructure { structure: Some(output_format_structure::Structure::JsonSchema(definition)) };
    let format = OutputFormat { r#type: "json_schema".into(), structure: Some(structure) };
    let config = OutputConfig { text_format: Some(format), effort: String::new() };
    let request = GenerateRequest { prompt: "a".into(), output_config: Some(config), ..GenerateRequest::default() };
    let (_, fields) = violations(request);
    assert_eq!(fields, ["output_config.text_format.structure.json_schema.schema"]);
}

#[test]
fn a_prompt_arn_brings_its_own_messages() {
    let model = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1".to_owned();
    let valid = valid(GenerateRequest { model, ..GenerateRequest::default() });
    assert!(valid.messages.is_empty());
}
