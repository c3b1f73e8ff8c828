//! Estimates the tokens of a request: its input, and the maximum of its output.
//!
//! The estimate is reserved when a call begins, and replaced by the reported usage when it ends.

use prost::Message;
use serde_json::{Map, Value};

use crate::proto::{
    ContentBlock, DocumentBlock, GenerateRequest, SystemContentBlock, content_block::Block, document_source::Source,
    system_content_block, tool_result_content_block,
};

/// Bytes of text for each token: about the average of tokenizers on English text. JSON and other languages have more tokens.
const BYTES_PER_TOKEN: usize = 4;

/// The tokens of an image, a document or a video: about those of a large image.
const MEDIA: u32 = 1_600;

/// The document formats that are text. The size of any other says little about its tokens.
const TEXT_FORMATS: [&str; 5] = ["", "txt", "md", "csv", "html"];

/// The names that providers have for the maximum number of tokens to generate.
const MAX_TOKENS: [&str; 10] = [
    "max_tokens",
    "maxTokens",
    "max_tokens_to_sample",
    "max_completion_tokens",
    "max_gen_len",
    "maxTokenCount",
    "max_new_tokens",
    "maxNewTokens",
    "max_output_tokens",
    "maxOutputTokens",
];

/// The names that providers have for the number of answers. Each may be as long as the limit says.
const ANSWERS: [&str; 5] = ["n", "best_of", "num_generations", "numResults", "candidateCount"];

/// Objects in which providers have these parameters.
const CONFIGURATIONS: [&str; 3] = ["inferenceConfig", "textGenerationConfig", "generationConfig"];

/// What a call can need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Input tokens.
    pub(crate) input: u32,
    /// The maximum of output tokens of one answer. `None`: the request has no maximum, so that of the model applies.
    each: Option<u32>,
    /// The number of answers.
    answers: u32,
}

impl Estimate {
    /// Estimates a request with its history.
    pub(crate) fn of(request: &GenerateRequest) -> Self {
        let blocks = request.messages.iter().flat_map(|message| &message.content).map(block);
        let system = request.system.iter().map(system);
        let raw = tokens(request.native_body.len());
        let additional = request.additional_model_request_fields.as_ref();
        let others = [
            request.tool_config.as_ref().map(Message::encoded_len),
            request.output_config.as_ref().map(Message::encoded_len),
            additional.map(Message::encoded_len),
        ];
        let variables = request.prompt_variables.values().map(Message::encoded_len);
        let others = others.into_iter().flatten().chain(variables).map(tokens);
        let input = blocks.chain(system).chain(others).fold(raw, u32::saturating_add);
        let config = request.inference_config.as_ref().and_then(|config| config.max_tokens);
        let config = config.and_then(|tokens| u32::try_from(tokens).ok());
        // The model decides which of several limits applies, so the highest is reserved.
        let sources = [additional.map(crate::json::from_struct), serde_json::from_str(&request.native_body).ok()];
        let limits = sources.iter().flatten().filter_map(|members| most(members, &MAX_TOKENS));
        let each = limits.chain(config).max();
        let answers = sources.iter().flatten().filter_map(|members| most(members, &ANSWERS)).max().unwrap_or(1);
        Self { input, each, answers: answers.max(1) }
    }

    /// The maximum of output tokens, if a request without one can have `default` for each answer.
    pub(crate) fn output_or(self, default: u32) -> u32 {
        self.each.unwrap_or(default).saturating_mul(self.answers)
    }
}

fn tokens(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

fn block(block: &ContentBlock) -> u32 {
    match &block.block {
        None => 0,
        Some(Block::Text(text)) => tokens(text.len()),
        Some(Block::Image(_) | Block::Video(_)) => MEDIA,
        Some(Block::Document(document)) => self::document(document),
        Some(Block::ToolResult(result)) => {
            let media = |content: &tool_result_content_block::Block| {
                use tool_result_content_block::Block;
                match content {
                    Block::Image(_) | Block::Video(_) => MEDIA,
                    Block::Document(document) => self::document(document),
                    Block::Text(text) => tokens(text.len()),
                    other => tokens(other.encoded_len()),
                }
            };
            result.content.iter().filter_map(|content| content.block.as_ref()).map(media).fold(0, u32::saturating_add)
        }
        Some(other) => tokens(other.encoded_len()),
    }
}

/// A document that is text counts as its text.
fn document(document: &DocumentBlock) -> u32 {
    match document.source.as_ref().and_then(|source| source.source.as_ref()) {
        Some(Source::Bytes(bytes)) if TEXT_FORMATS.contains(&document.format.as_str()) => tokens(bytes.len()),
        Some(Source::Text(text)) => tokens(text.len()),
        Some(Source::Content(content)) => tokens(content.encoded_len()),
        Some(Source::Bytes(_) | Source::S3Location(_)) | None => MEDIA,
    }
}

fn system(block: &SystemContentBlock) -> u32 {
    match &block.block {
        None => 0,
        Some(system_content_block::Block::Text(text)) => tokens(text.len()),
        Some(other) => tokens(other.encoded_len()),
    }
}

/// The highest number that these members, or the objects for parameters in them, have under one of these names.
fn most(members: &Map<String, Value>, names: &[&str]) -> Option<u32> {
    let direct = |members: &Map<String, Value>| names.iter().filter_map(|name| number(members.get(*name)?)).max();
    let nested = CONFIGURATIONS.iter().filter_map(|name| direct(members.get(*name)?.as_object()?));
    direct(members).into_iter().chain(nested).max()
}

/// Whether these members, or the objects for parameters in them, say how many tokens or answers may be generated.
pub(crate) fn bounds_output(members: &Map<String, Value>) -> bool {
    most(members, &MAX_TOKENS).or_else(|| most(members, &ANSWERS)).is_some()
}

/// A positive number in any form that a provider may accept: `4000`, `4e3`, `4000.0` or `"4000"`. A larger number than fits becomes the
/// largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a double saturates")]
fn number(value: &Value) -> Option<u32> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0.0).map(|number| number.ceil() as u32)
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
        let estimate = Estimate::of(&request);
        assert_eq!((estimate.input, estimate.output_or(7)), (200_000, 7));
    }

    #[test]
    fn the_limit_that_bedrock_will_get_is_reserved() {
        let config = InferenceConfiguration { max_tokens: Some(1), ..InferenceConfiguration::default() };
        let with = |name: &str| GenerateRequest {
            inference_config: Some(config.clone()),
            additional_model_request_fields: crate::json::parse_object(&format!("{{{name:?}: 4000}}")).ok(),
            ..GenerateRequest::default()
        };
        assert_eq!(Estimate::of(&with("k")).output_or(9), 1);
        assert_eq!(Estimate::of(&with("max_tokens")).output_or(9), 4_000);
        for body in [
            r#"{"max_gen_len": 500}"#,
            r#"{"inferenceConfig": {"maxTokens": 500}}"#,
            r#"{"max_tokens": 5e2}"#,
            r#"{"max_tokens": 500.0}"#,
            r#"{"max_tokens": "500"}"#,
            r#"{"max_tokens": 250, "num_generations": 2}"#,
        ] {
            let raw = GenerateRequest { native_body: body.to_owned(), ..GenerateRequest::default() };
            assert_eq!(Estimate::of(&raw).output_or(9), 500, "{body}");
        }
        for (body, output) in [
            (r#"{"max_tokens": 1e99}"#, u32::MAX),
            (r#"{"max_tokens": -1}"#, 9),
            (r#"{"max_tokens": 5000000000, "n": 3}"#, u32::MAX),
            (r#"{"max_tokens": null, "n": 0}"#, 9),
        ] {
            let raw = GenerateRequest { native_body: body.to_owned(), ..GenerateRequest::default() };
            assert_eq!(Estimate::of(&raw).output_or(9), output, "{body}");
        }
        let lowered = GenerateRequest {
            inference_config: Some(InferenceConfiguration { max_tokens: Some(50_000), ..config.clone() }),
            ..with("max_tokens")
        };
        assert_eq!(Estimate::of(&lowered).output_or(9), 50_000, "an additional field lowers no reservation");
    }

    #[test]
    fn everything_that_a_model_reads_is_input() {
        let large = || "a".repeat(400_000);
        let of = |block: Block| GenerateRequest {
            messages: vec![Message { role: 1, content: vec![ContentBlock { block: Some(block) }] }],
            ..GenerateRequest::default()
        };
        let document = |format: &str, source: Source| {
            let source = Some(crate::proto::DocumentSource { source: Some(source) });
            Block::Document(DocumentBlock { format: format.to_owned(), source, ..DocumentBlock::default() })
        };
        let tool = crate::proto::ToolSpecification { description: large(), ..Default::default() };
        let tool = crate::proto::Tool { tool: Some(crate::proto::tool::Tool::ToolSpec(tool)) };
        let tools = crate::proto::ToolConfiguration { tools: vec![tool], ..Default::default() };
        let fields = crate::json::parse_object(&format!("{{\"system\": {:?}}}", large())).unwrap();
        let guarded = crate::proto::GuardrailConverseTextBlock { text: large(), ..Default::default() };
        let guarded = crate::proto::guardrail_converse_content_block::Block::Text(guarded);
        let guarded = crate::proto::GuardrailConverseContentBlock { block: Some(guarded) };
        let system = SystemContentBlock { block: Some(system_content_block::Block::GuardContent(guarded)) };
        let requests = [
            of(document("txt", Source::Bytes(large().into_bytes().into()))),
            of(document("pdf", Source::Text(large()))),
            GenerateRequest { tool_config: Some(tools), ..GenerateRequest::default() },
            GenerateRequest { additional_model_request_fields: Some(fields), ..GenerateRequest::default() },
            GenerateRequest { system: vec![system], ..GenerateRequest::default() },
        ];
        for (at, request) in requests.iter().enumerate() {
            let input = Estimate::of(request).input;
            assert!((100_000..100_100).contains(&input), "request {at}: {input}");
        }
        let picture = document("pdf", Source::Bytes(large().into_bytes().into()));
        assert_eq!(Estimate::of(&of(picture)).input, MEDIA);
    }
}
