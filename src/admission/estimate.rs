//! What a request will use: an estimate of its input tokens, and the most tokens that it may generate.
//!
//! The estimate is reserved when the call begins and corrected by Bedrock's own count when it ends.

use serde_json::{Map, Value};

use crate::proto::{
    ContentBlock, GenerateRequest, SystemContentBlock, content_block::Block, system_content_block,
    tool_result_content_block,
};

/// Bytes of text for each token, about what tokenizers reach on English text. JSON and other languages need more tokens.
const BYTES_PER_TOKEN: usize = 4;

/// The tokens of an image, a document or a video: a large image costs about this many.
const MEDIA: u32 = 1_600;

/// The names that providers have for the most tokens to generate.
const MAX_TOKENS: [&str; 8] = [
    "max_tokens",
    "maxTokens",
    "max_tokens_to_sample",
    "max_completion_tokens",
    "max_gen_len",
    "maxTokenCount",
    "max_new_tokens",
    "maxNewTokens",
];

/// Objects in which providers put them.
const CONFIGURATIONS: [&str; 3] = ["inferenceConfig", "textGenerationConfig", "generationConfig"];

/// What is reserved for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Its input.
    pub(crate) input: u32,
    /// The most that it may generate.
    pub(crate) output: u32,
}

impl Estimate {
    /// Of a request as it goes to Bedrock, with its history. `default` stands for an output that the request does not limit.
    pub(crate) fn of(request: &GenerateRequest, default: u32) -> Self {
        let blocks = request.messages.iter().flat_map(|message| &message.content).map(block);
        let system = request.system.iter().map(system);
        let raw = tokens(request.native_body.len());
        let input = blocks.chain(system).fold(raw, u32::saturating_add);
        let config = request.inference_config.as_ref().and_then(|config| config.max_tokens);
        let config = config.and_then(|tokens| u32::try_from(tokens).ok());
        // What the native body, or an additional field, says is what Bedrock gets last.
        let output = additional(request).or(raw_limit(request)).or(config).unwrap_or(default);
        Self { input, output }
    }

    /// Both.
    pub(crate) fn total(self) -> u32 {
        self.input.saturating_add(self.output)
    }
}

fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

fn block(block: &ContentBlock) -> u32 {
    match &block.block {
        None => 0,
        Some(Block::Text(text)) => tokens(text.len()),
        Some(Block::Image(_) | Block::Document(_) | Block::Video(_)) => MEDIA,
        Some(Block::ToolResult(result)) => {
            let media = |content: &tool_result_content_block::Block| {
                use tool_result_content_block::Block;
                match content {
                    Block::Image(_) | Block::Document(_) | Block::Video(_) => MEDIA,
                    Block::Text(text) => tokens(text.len()),
                    other => tokens(other.encoded_len()),
                }
            };
            result.content.iter().filter_map(|content| content.block.as_ref()).map(media).fold(0, u32::saturating_add)
        }
        Some(other) => tokens(other.encoded_len()),
    }
}

fn system(block: &SystemContentBlock) -> u32 {
    match &block.block {
        Some(system_content_block::Block::Text(text)) => tokens(text.len()),
        _ => 0,
    }
}

fn additional(request: &GenerateRequest) -> Option<u32> {
    limit(&crate::json::from_struct(request.additional_model_request_fields.as_ref()?))
}

fn raw_limit(request: &GenerateRequest) -> Option<u32> {
    if request.native_body.is_empty() {
        return None;
    }
    limit(&serde_json::from_str(&request.native_body).ok()?)
}

fn limit(members: &Map<String, Value>) -> Option<u32> {
    let direct = |members: &Map<String, Value>| MAX_TOKENS.iter().filter_map(|name| members.get(*name)?.as_u64()).max();
    let nested = CONFIGURATIONS.iter().filter_map(|name| direct(members.get(*name)?.as_object()?));
    let most = direct(members).into_iter().chain(nested).max()?;
    Some(u32::try_from(most).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{InferenceConfiguration, Message};

    fn text(text: &str) -> Vec<Message> {
        let content = vec![ContentBlock { block: Some(Block::Text(text.to_owned())) }];
        vec![Message { role: 1, content }]
    }

    #[test]
    fn input_is_estimated_from_what_goes_to_bedrock() {
        let request = GenerateRequest { messages: text(&"a".repeat(800_000)), ..GenerateRequest::default() };
        assert_eq!(Estimate::of(&request, 7), Estimate { input: 200_000, output: 7 });
    }

    #[test]
    fn the_limit_that_bedrock_will_get_is_reserved() {
        let config = InferenceConfiguration { max_tokens: Some(1), ..InferenceConfiguration::default() };
        let with = |name: &str| GenerateRequest {
            inference_config: Some(config.clone()),
            additional_model_request_fields: crate::json::parse_object(&format!("{{{name:?}: 4000}}")).ok(),
            ..GenerateRequest::default()
        };
        assert_eq!(Estimate::of(&with("k"), 9).output, 1);
        assert_eq!(Estimate::of(&with("max_tokens"), 9).output, 4_000);
        for body in [r#"{"max_gen_len": 500}"#, r#"{"inferenceConfig": {"maxTokens": 500}}"#] {
            let raw = GenerateRequest { native_body: body.to_owned(), ..GenerateRequest::default() };
            assert_eq!(Estimate::of(&raw, 9).output, 500, "{body}");
        }
    }
}
