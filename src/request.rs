//! A `GenerateRequest` checked and resolved into another type, so that Bedrock cannot be handed an unchecked one.
//!
//! Comes after [`crate::service`] and before [`crate::bedrock`]. What Bedrock would refuse for certain is refused here, all
//! violations at once; what only Bedrock can judge is left to it.

mod violations;

use self::violations::Violations;
use crate::{
    error::Error,
    proto::{
        ContentBlock, GenerateRequest, InferenceConfiguration, Message, Role, SystemContentBlock, content_block,
        system_content_block,
    },
};

/// The longest model id, in characters: the limit of the Bedrock Runtime API.
const MAX_MODEL_ID: usize = 2_048;

/// The most stop sequences: the limit of the Bedrock Runtime API.
const MAX_STOP_SEQUENCES: usize = 2_500;

/// A request that breaks no rule.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidRequest {
    /// The model; not empty.
    pub model_id: String,
    /// The conversation, with `prompt` as its last message. Every block has a kind that Bedrock is sent.
    pub messages: Vec<Message>,
    /// The instructions before the conversation.
    pub system: Vec<SystemContentBlock>,
    /// How to sample.
    pub inference_config: Option<InferenceConfiguration>,
}

/// Checks a request.
///
/// # Errors
/// `INVALID_REQUEST` with every violation, or `FIELD_NOT_SUPPORTED` with every field that is not built yet.
pub fn check(request: GenerateRequest, default_model: Option<&str>) -> Result<ValidRequest, Error> {
    let mut violations = Violations::default();
    refuse_unbuilt(&request, &mut violations);
    // Taken apart completely, so that a field added to the contract must be dealt with here.
    let GenerateRequest {
        model,
        prompt,
        mut messages,
        system,
        inference_config,
        tool_config: _,
        guardrail_config: _,
        additional_model_request_fields: _,
        additional_model_response_field_paths: _,
        prompt_variables: _,
        request_metadata: _,
        performance_config: _,
        service_tier: _,
        output_config: _,
    } = request;
    let model_id = if model.is_empty() { default_model.unwrap_or_default().to_owned() } else { model };
    check_model(&model_id, &mut violations);
    check_conversation(&messages, &prompt, &mut violations);
    check_system(&system, &mut violations);
    if let Some(config) = &inference_config {
        check_inference(config, &mut violations);
    }
    if !prompt.is_empty() {
        messages.push(user_message(prompt));
    }
    violations.into_result()?;
    Ok(ValidRequest { model_id, messages, system, inference_config })
}

/// Fields that are part of the contract and do not reach Bedrock yet: refused by name, never ignored.
fn refuse_unbuilt(request: &GenerateRequest, violations: &mut Violations) {
    let fields = [
        ("tool_config", request.tool_config.is_some()),
        ("guardrail_config", request.guardrail_config.is_some()),
        ("additional_model_request_fields", request.additional_model_request_fields.is_some()),
        ("additional_model_response_field_paths", !request.additional_model_response_field_paths.is_empty()),
        ("prompt_variables", !request.prompt_variables.is_empty()),
        ("request_metadata", !request.request_metadata.is_empty()),
        ("performance_config", request.performance_config.is_some()),
        ("service_tier", request.service_tier.is_some()),
        ("output_config", request.output_config.is_some()),
    ];
    for (field, _) in fields.into_iter().filter(|(_, set)| *set) {
        violations.unbuilt(field);
    }
}

fn check_model(model_id: &str, violations: &mut Violations) {
    let length = model_id.chars().count();
    if model_id.is_empty() {
        violations.add("model", "is empty, and this server has no default model. Name one, or set --default-model");
    } else if length > MAX_MODEL_ID {
        violations.add("model", format!("has {length} characters; at most {MAX_MODEL_ID} are allowed"));
    } else if model_id.chars().any(|c| c.is_whitespace() || c.is_control()) {
        violations.add("model", format!("{model_id:?} holds white space; a model id or ARN does not"));
    }
}

fn check_conversation(messages: &[Message], prompt: &str, violations: &mut Violations) {
    match (messages.first(), prompt) {
        (None, "") => violations.add("prompt", "and messages are both empty. Set prompt, or at least one message"),
        (Some(first), _) if first.role() == Role::Assistant => {
            violations.add("messages[0].role", "is ROLE_ASSISTANT. A conversation starts with a user message");
        }
        _ => {}
    }
    if !prompt.is_empty() && prompt.trim().is_empty() {
        violations.add("prompt", "is blank. Write something, or leave it out");
    }
    for (at, message) in messages.iter().enumerate() {
        let field = format!("messages[{at}]");
        check_role(message.role, &field, violations);
        if message.content.is_empty() {
            violations.add(format!("{field}.content"), "is empty. Give the message at least one block");
        }
        for (at, block) in message.content.iter().enumerate() {
            check_block(block, format!("{field}.content[{at}]"), violations);
        }
    }
}

fn check_role(role: i32, field: &str, violations: &mut Violations) {
    let problem = match Role::try_from(role) {
        Ok(Role::Unspecified) => "is not set".to_owned(),
        Ok(_) => return,
        Err(_) => format!("is {role}, which is no role"),
    };
    violations.add(format!("{field}.role"), problem + ". Use ROLE_USER or ROLE_ASSISTANT");
}

fn check_block(block: &ContentBlock, field: String, violations: &mut Violations) {
    use content_block::Block;
    let kind = match &block.block {
        None => {
            return violations.add(field, "holds nothing that this server knows. Set one of its kinds, such as text");
        }
        Some(Block::Text(text)) => return check_text(text, field, violations),
        Some(Block::Image(_)) => "image",
        Some(Block::Document(_)) => "document",
        Some(Block::Video(_)) => "video",
        Some(Block::Audio(_)) => "audio",
        Some(Block::ToolUse(_)) => "tool_use",
        Some(Block::ToolResult(_)) => "tool_result",
        Some(Block::GuardContent(_)) => "guard_content",
        Some(Block::CachePoint(_)) => "cache_point",
        Some(Block::ReasoningContent(_)) => "reasoning_content",
        Some(Block::CitationsContent(_)) => "citations_content",
        Some(Block::SearchResult(_)) => "search_result",
        Some(Block::ToolAddition(_)) => "tool_addition",
        Some(Block::ToolRemoval(_)) => "tool_removal",
    };
    violations.unbuilt(format!("{field}.{kind}"));
}

fn check_system(system: &[SystemContentBlock], violations: &mut Violations) {
    use system_content_block::Block;
    for (at, block) in system.iter().enumerate() {
        let field = format!("system[{at}]");
        match &block.block {
            None => violations.add(field, "holds nothing that this server knows. Set one of its kinds, such as text"),
            Some(Block::Text(text)) => check_text(text, field, violations),
            Some(Block::GuardContent(_)) => violations.unbuilt(format!("{field}.guard_content")),
            Some(Block::CachePoint(_)) => violations.unbuilt(format!("{field}.cache_point")),
        }
    }
}

fn check_text(text: &str, field: String, violations: &mut Violations) {
    if text.trim().is_empty() {
        violations
            .add(field + ".text", "is blank. Bedrock refuses blank text: write something, or leave the block out");
    }
}

fn check_inference(config: &InferenceConfiguration, violations: &mut Violations) {
    if let Some(max_tokens) = config.max_tokens.filter(|max_tokens| *max_tokens < 1) {
        violations.add("inference_config.max_tokens", format!("is {max_tokens}; it must be at least 1"));
    }
    for (name, value) in [("temperature", config.temperature), ("top_p", config.top_p)] {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            violations.add(format!("inference_config.{name}"), format!("is {value}; it must be from 0 to 1"));
        }
    }
    let count = config.stop_sequences.len();
    if count > MAX_STOP_SEQUENCES {
        violations.add(
            "inference_config.stop_sequences",
            format!("has {count} entries; at most {MAX_STOP_SEQUENCES} are allowed"),
        );
    }
    for (at, _) in config.stop_sequences.iter().enumerate().filter(|(_, sequence)| sequence.is_empty()) {
        violations.add(format!("inference_config.stop_sequences[{at}]"), "is empty. Leave it out");
    }
}

fn user_message(text: String) -> Message {
    let block = ContentBlock { block: Some(content_block::Block::Text(text)) };
    Message { role: Role::User.into(), content: vec![block] }
}

#[cfg(test)]
mod tests;
