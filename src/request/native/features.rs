//! Checks that a request uses only features that the native format of its family has.
//!
//! - `table` the features of each family
//! - `details` restrictions inside a feature

mod details;
mod table;

use self::table::can;
pub use self::table::{FEATURES, FamilyFeatures, Feature};
use super::Family;
use crate::{
    proto::{ContentBlock, GenerateRequest, content_block::Block, system_content_block},
    request::violations::Violations,
};

/// Adds a violation for each field that the family's format lacks.
pub(super) fn check(family: Family, request: &GenerateRequest, violations: &mut Violations) {
    let mut refuse = |field: String| {
        let whose = family.name();
        violations
            .add(field, format!("is not supported in the native format of {whose}. Leave it out, or use Converse"));
    };
    let config = request.inference_config.as_ref();
    let fields = [
        ("system", !request.system.is_empty() && !can(family, Feature::System)),
        ("tool_config", request.tool_config.is_some() && !can(family, Feature::Tools)),
        ("inference_config.top_p", config.is_some_and(|config| config.top_p.is_some()) && !can(family, Feature::TopP)),
        (
            "inference_config.stop_sequences",
            config.is_some_and(|config| !config.stop_sequences.is_empty()) && !can(family, Feature::StopSequences),
        ),
        ("additional_model_response_field_paths", !request.additional_model_response_field_paths.is_empty()),
        ("prompt_variables", !request.prompt_variables.is_empty()),
        ("output_config", request.output_config.is_some()),
    ];
    fields.into_iter().filter(|(_, refused)| *refused).for_each(|(field, _)| refuse(field.to_owned()));
    for (index, block) in request.system.iter().enumerate() {
        let kind = match &block.block {
            Some(system_content_block::Block::GuardContent(_)) => "guard_content",
            Some(system_content_block::Block::CachePoint(_)) if !can(family, Feature::CachePoints) => "cache_point",
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

/// The kind of this block, if the format of the family lacks it.
fn lacking(family: Family, block: &ContentBlock) -> Option<&'static str> {
    let (kind, feature) = match block.block.as_ref()? {
        Block::Text(_) => return None,
        Block::Image(_) => ("image", Some(Feature::Images)),
        Block::Document(_) => ("document", Some(Feature::Documents)),
        Block::ToolUse(_) => ("tool_use", Some(Feature::Tools)),
        Block::ToolResult(_) => ("tool_result", Some(Feature::Tools)),
        Block::ReasoningContent(_) => ("reasoning_content", Some(Feature::Reasoning)),
        Block::CachePoint(_) => ("cache_point", Some(Feature::CachePoints)),
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
