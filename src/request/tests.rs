use super::*;
use crate::{error::Reason, proto::ToolConfiguration};

fn text(role: Role, text: &str) -> Message {
    let block = ContentBlock { block: Some(content_block::Block::Text(text.to_owned())) };
    Message { role: role.into(), content: vec![block] }
}

fn violations(request: GenerateRequest) -> (Reason, Vec<String>) {
    let error = check(request, Some("a.model")).unwrap_err();
    (error.reason(), error.violations().iter().map(|violation| violation.field.clone()).collect())
}

#[test]
fn a_prompt_becomes_the_last_user_message() {
    let messages = vec![text(Role::User, "a"), text(Role::Assistant, "b")];
    let request = GenerateRequest { prompt: "c".into(), messages, ..GenerateRequest::default() };
    let valid = check(request, Some("a.model")).unwrap();
    assert_eq!(valid.model_id, "a.model");
    assert_eq!(valid.messages.len(), 3);
    assert_eq!(valid.messages[2], text(Role::User, "c"));
}

#[test]
fn the_model_of_the_request_wins_and_without_any_it_is_a_violation() {
    let request = GenerateRequest { model: "b.model".into(), prompt: "x".into(), ..GenerateRequest::default() };
    assert_eq!(check(request.clone(), Some("a.model")).unwrap().model_id, "b.model");
    let request = GenerateRequest { model: String::new(), ..request };
    let error = check(request, None).unwrap_err();
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
        "inference_config.max_tokens",
        "inference_config.temperature",
        "inference_config.top_p",
        "inference_config.stop_sequences[1]",
        "tool_config",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_empty_request_says_what_to_set() {
    let (reason, fields) = violations(GenerateRequest::default());
    assert_eq!((reason, fields), (Reason::InvalidRequest, vec!["prompt".to_owned()]));
}

#[test]
fn a_field_that_is_not_built_is_named() {
    let image = ContentBlock { block: Some(content_block::Block::Image(crate::proto::ImageBlock::default())) };
    let message = Message { role: Role::User.into(), content: vec![image] };
    let request = GenerateRequest {
        messages: vec![message],
        tool_config: Some(ToolConfiguration::default()),
        ..GenerateRequest::default()
    };
    let (reason, fields) = violations(request);
    assert_eq!(reason, Reason::FieldNotSupported);
    assert_eq!(fields, ["tool_config", "messages[0].content[0].image"]);
}
