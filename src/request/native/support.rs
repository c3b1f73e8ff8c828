//! What each family can do in its own format, as far as this server translates: the table that the documentation shows, and
//! the check that refuses everything else by name.
//!
//! Used by [`super::check`].

use super::{Family, details};
use crate::{
    proto::{ContentBlock, GenerateRequest, content_block::Block, system_content_block},
    request::violations::Violations,
};

/// Something that not every family can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Feature {
    System,
    TopP,
    StopSequences,
    Tools,
    Images,
    Documents,
    Reasoning,
    CachePoints,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Support {
    /// The family.
    pub family: Family,
    /// What it can do.
    pub features: &'static [Feature],
    /// Where its usage comes from: `provider` or `metrics`.
    pub usage: &'static str,
}

use Feature::{CachePoints, Documents, Images, Reasoning, StopSequences, System, Tools, TopP};

const CHAT: &[Feature] = &[System, TopP, StopSequences, Tools];

/// What each family can do. `max_tokens` and `temperature` every family has.
pub const SUPPORT: [Support; 18] = [
    row(
        Family::Anthropic,
        &[System, TopP, StopSequences, Tools, Images, Documents, Reasoning, CachePoints],
        "provider",
    ),
    row(Family::AnthropicText, &[System, TopP, StopSequences], "metrics"),
    row(Family::Nova, &[System, TopP, StopSequences, Tools, Images, Documents, CachePoints], "provider"),
    row(Family::Titan, &[TopP, StopSequences], "provider"),
    row(Family::CohereCommand, &[TopP, StopSequences], "metrics"),
    row(Family::CohereCommandR, &[System, TopP, StopSequences], "provider"),
    row(Family::Llama2, &[System, TopP], "provider"),
    row(Family::Llama3, &[System, TopP], "provider"),
    row(Family::Llama4, &[System, TopP], "provider"),
    row(Family::Mistral, &[System, TopP, StopSequences], "metrics"),
    row(Family::MistralChat, CHAT, "provider"),
    row(Family::Jamba, CHAT, "provider"),
    row(Family::Jurassic2, &[TopP, StopSequences], "metrics"),
    row(Family::DeepSeekR1, &[System, TopP, StopSequences], "metrics"),
    row(Family::DeepSeek, CHAT, "provider"),
    row(Family::OpenAi, CHAT, "provider"),
    row(Family::Qwen, CHAT, "provider"),
    row(Family::Writer, CHAT, "provider"),
];

const fn row(family: Family, features: &'static [Feature], usage: &'static str) -> Support {
    Support { family, features, usage }
}

pub(super) fn can(family: Family, feature: Feature) -> bool {
    SUPPORT.iter().any(|row| row.family == family && row.features.contains(&feature))
}

/// Refuses what the family lacks, by the name of the field.
pub(super) fn check(family: Family, request: &GenerateRequest, violations: &mut Violations) {
    let mut refuse = |field: String| {
        let whose = family.name();
        violations.add(
            field,
            format!("is not something that {whose} takes in its own format. Leave it out, or use Converse"),
        );
    };
    let config = request.inference_config.as_ref();
    let fields = [
        ("system", !request.system.is_empty() && !can(family, System)),
        ("tool_config", request.tool_config.is_some() && !can(family, Tools)),
        ("inference_config.top_p", config.is_some_and(|config| config.top_p.is_some()) && !can(family, TopP)),
        (
            "inference_config.stop_sequences",
            config.is_some_and(|config| !config.stop_sequences.is_empty()) && !can(family, StopSequences),
        ),
        ("additional_model_response_field_paths", !request.additional_model_response_field_paths.is_empty()),
        ("prompt_variables", !request.prompt_variables.is_empty()),
        ("output_config", request.output_config.is_some()),
    ];
    fields.into_iter().filter(|(_, refused)| *refused).for_each(|(field, _)| refuse(field.to_owned()));
    for (index, block) in request.system.iter().enumerate() {
        let kind = match &block.block {
            Some(system_content_block::Block::GuardContent(_)) => "guard_content",
            Some(system_content_block::Block::CachePoint(_)) if !can(family, CachePoints) => "cache_point",
            _ => continue,
        };
        refuse(format!("system[{index}].{kind}"));
    }
    for (at, message) in request.messages.iter().enumerate() {
        for (index, block) in message.content.iter().enumerate() {
            if let Some(kind) = lacking(family, block) {
                refuse(format!("messages[{at}].content[{index}].{kind}"));
            } else if let Some(block) = &block.block {
                details::check_block(family, block, &format!("messages[{at}].content[{index}]"), &mut refuse);
            }
        }
    }
    details::check_rest(family, request, &mut refuse);
    let required = match family {
        Family::Anthropic => "max_tokens",
        Family::AnthropicText => "max_tokens_to_sample",
        _ => return,
    };
    if config.is_none_or(|config| config.max_tokens.is_none()) && !in_additional(request, required) {
        violations.add("inference_config.max_tokens", "is not set. Anthropic's own format requires it");
    }
}

fn in_additional(request: &GenerateRequest, name: &str) -> bool {
    request.additional_model_request_fields.as_ref().is_some_and(|fields| fields.fields.contains_key(name))
}

/// The name of the kind of this block, if the family cannot take it.
fn lacking(family: Family, block: &ContentBlock) -> Option<&'static str> {
    let (kind, feature) = match block.block.as_ref()? {
        Block::Text(_) => return None,
        Block::Image(_) => ("image", Some(Images)),
        Block::Document(_) => ("document", Some(Documents)),
        Block::ToolUse(_) => ("tool_use", Some(Tools)),
        Block::ToolResult(_) => ("tool_result", Some(Tools)),
        Block::ReasoningContent(_) => ("reasoning_content", Some(Reasoning)),
        Block::CachePoint(_) => ("cache_point", Some(CachePoints)),
        Block::Video(_) => ("video", None),
        Block::Audio(_) => ("audio", None),
        Block::GuardContent(_) => ("guard_content", None),
        Block::CitationsContent(_) => ("citations_content", None),
        Block::SearchResult(_) => ("search_result", None),
        Block::ToolAddition(_) => ("tool_addition", None),
        Block::ToolRemoval(_) => ("tool_removal", None),
    };
    (!feature.is_some_and(|feature| can(family, feature))).then_some(kind)
}
