//! Checks sampling, guardrail, output and metadata.

use super::{
    path::Path,
    violations::{CharacterSet, Violations},
};
use crate::proto::{
    GenerateRequest, GuardrailStreamConfiguration, InferenceConfiguration, OutputConfig, output_format_structure,
};

/// The most stop sequences: the limit of the Bedrock Runtime API.
const MAX_STOP_SEQUENCES: usize = 2_500;

/// The most response field paths: the limit of the Bedrock Runtime API.
const MAX_RESPONSE_FIELD_PATHS: usize = 10;

/// The most entries of request metadata: the limit of the Bedrock Runtime API.
const MAX_METADATA: usize = 16;

/// The longest effort, in characters: the limit of the Bedrock Runtime API.
const MAX_EFFORT: usize = 16;

const METADATA_CHARACTERS: CharacterSet = CharacterSet {
    contains: |c| c.is_ascii_alphanumeric() || c.is_whitespace() || ":_@$#=/+,-.".contains(c),
    description: "letters, digits, white space and : _ @ $ # = / + , - .",
};

pub(super) fn check(request: &GenerateRequest, violations: &mut Violations) {
    if let Some(config) = &request.inference_config {
        check_inference(config, violations);
    }
    if let Some(config) = &request.guardrail_config {
        check_guardrail(config, violations);
    }
    let paths = &request.additional_model_response_field_paths;
    violations.at_most("additional_model_response_field_paths", paths.len(), MAX_RESPONSE_FIELD_PATHS);
    for (index, path) in paths.iter().enumerate() {
        let at = Path::root_entry("additional_model_response_field_paths", index);
        violations.length(at, path, 1..=256);
    }
    for (name, values) in &request.prompt_variables {
        if values.value.is_none() {
            violations.nothing_known(format!("prompt_variables[{name:?}]"), "text");
        }
    }
    check_metadata(request, violations);
    if let Some(tier) = &request.service_tier {
        violations.not_empty("service_tier.type", &tier.r#type, "a tier, such as \"default\" or \"flex\"");
    }
    if let Some(config) = &request.output_config {
        check_output(config, violations);
    }
}

fn check_inference(config: &InferenceConfiguration, violations: &mut Violations) {
    let at = Path::root("inference_config");
    if let Some(max_tokens) = config.max_tokens.filter(|max_tokens| *max_tokens < 1) {
        violations.add(at.field("max_tokens"), format!("is {max_tokens}; it must be at least 1"));
    }
    for (name, value) in [("temperature", config.temperature), ("top_p", config.top_p)] {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            violations.add(at.field(name), format!("is {value}; it must be from 0 to 1"));
        }
    }
    violations.at_most(at.field("stop_sequences"), config.stop_sequences.len(), MAX_STOP_SEQUENCES);
    for (index, _) in config.stop_sequences.iter().enumerate().filter(|(_, sequence)| sequence.is_empty()) {
        violations.add(at.entry("stop_sequences", index), "is empty. Leave it out");
    }
}

fn check_guardrail(config: &GuardrailStreamConfiguration, violations: &mut Violations) {
    let version = config.guardrail_version.as_str();
    let number = !version.starts_with('0') && version.chars().all(|c| c.is_ascii_digit());
    if version != "DRAFT" && !number {
        let at = Path::root("guardrail_config");
        violations.add(at.field("guardrail_version"), format!("is {version:?}; it must be a number or DRAFT"));
    }
}

fn check_metadata(request: &GenerateRequest, violations: &mut Violations) {
    violations.at_most("request_metadata", request.request_metadata.len(), MAX_METADATA);
    for (key, value) in &request.request_metadata {
        let field = format!("request_metadata[{key:?}]");
        violations.text(&field, key, 1..=256, &METADATA_CHARACTERS);
        violations.text(&field, value, 0..=256, &METADATA_CHARACTERS);
    }
}

fn check_output(config: &OutputConfig, violations: &mut Violations) {
    use output_format_structure::Structure;
    let at = Path::root("output_config");
    violations.length(at.field("effort"), &config.effort, 0..=MAX_EFFORT);
    let Some(format) = &config.text_format else { return };
    let at = at.field("text_format");
    violations.not_empty(at.field("type"), &format.r#type, "\"json_schema\"");
    let at = at.field("structure");
    match format.structure.as_ref().and_then(|structure| structure.structure.as_ref()) {
        None => violations.nothing_known(at, "json_schema"),
        Some(Structure::JsonSchema(definition)) => {
            let schema: Result<serde_json::Map<_, _>, _> = serde_json::from_str(&definition.schema);
            if let Err(error) = schema {
                violations.add(at.field("json_schema").field("schema"), format!("is not a JSON object ({error})"));
            }
        }
    }
}
