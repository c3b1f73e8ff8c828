//! The native operation, InvokeModelWithResponseStream: requests and answers in the model's own format.
//!
//! `template` writes requests with one prompt, and `completion` decodes answers that are text. A family whose format has more than that has
//! a module of its own, which writes the body of a request and decodes the chunks of an answer. None of them does I/O.
//! [`crate::request::native`] finds the family of a model, and refuses features that the family lacks.

mod anthropic;
mod chat;
mod citation;
mod cohere;
mod command_r;
mod completion;
mod nova;
mod shared;
mod template;

use aws_sdk_bedrockruntime::{
    Client, operation::invoke_model_with_response_stream::builders::InvokeModelWithResponseStreamFluentBuilder,
    primitives::Blob,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::Format;
use crate::{
    error::{Error, Reason, corrupt},
    event::native::Decode,
    json,
    proto::GenerateRequest,
    request::{Family, Valid, native},
};

/// Puts what stands beside a body into an operation. The two operations have the same settings and no common trait.
macro_rules! with_settings {
    ($operation:expr, $request:expr) => {{
        let (mut operation, request) = ($operation.content_type("application/json"), $request);
        operation = operation.model_id(request.model);
        if let Some(guardrail) = request.guardrail_config {
            let some = |text: String| (!text.is_empty()).then_some(text);
            operation = operation
                .set_guardrail_identifier(some(guardrail.guardrail_identifier))
                .set_guardrail_version(some(guardrail.guardrail_version));
            if !guardrail.trace.is_empty() {
                operation = operation.trace(guardrail.trace.to_ascii_uppercase().as_str().into());
            }
        }
        if let Some(config) = request.performance_config.filter(|config| !config.latency.is_empty()) {
            operation = operation.performance_config_latency(config.latency.as_str().into());
        }
        if let Some(tier) = request.service_tier {
            operation = operation.service_tier(tier.r#type.as_str().into());
        }
        if !request.request_metadata.is_empty() {
            let metadata: serde_json::Map<String, serde_json::Value> =
                request.request_metadata.into_iter().map(|(name, value)| (name, value.into())).collect();
            operation = operation.request_metadata(serde_json::Value::Object(metadata).to_string());
        }
        operation
    }};
}

pub(super) use with_settings;

/// The format of the answer to a request.
pub(super) fn format_of(request: &GenerateRequest) -> Result<Format, Error> {
    if !request.native_body.is_empty() {
        return Ok(Format::Raw);
    }
    Ok(if native::is_native(request) { Format::Native(decoder(family(request)?)) } else { Format::Converse })
}

/// The family of a checked request.
fn family(request: &GenerateRequest) -> Result<Family, Error> {
    Family::of(request).map_err(|problem| {
        Error::new(Reason::Internal, format!("a request whose model_family {problem} was not refused"))
    })
}

/// The operation, ready to be sent.
pub(super) fn operation(
    client: &Client,
    request: Valid<GenerateRequest>,
) -> Result<InvokeModelWithResponseStreamFluentBuilder, Error> {
    let mut request = request.into_inner();
    let body = match std::mem::take(&mut request.native_body) {
        none if none.is_empty() => body(&request)?.to_string(),
        own => own,
    };
    let operation = client.invoke_model_with_response_stream().accept("application/json").body(Blob::new(body));
    Ok(with_settings!(operation, request))
}

/// The body in the model's own format.
pub(crate) fn body(request: &GenerateRequest) -> Result<Value, Error> {
    let family = family(request)?;
    let mut body = match family {
        Family::Anthropic => anthropic::body(request),
        Family::AnthropicText => template::ANTHROPIC_TEXT.body(request),
        Family::Nova => nova::body(request),
        Family::Titan => template::TITAN.body(request),
        Family::CohereCommand => cohere::body(request),
        Family::CohereCommandR => command_r::body(request),
        Family::Llama2 => template::LLAMA_2.body(request),
        Family::Llama3 => template::LLAMA_3.body(request),
        Family::Llama4 => template::LLAMA_4.body(request),
        Family::Mistral => template::MISTRAL.body(request),
        Family::Jurassic2 => template::JURASSIC_2.body(request),
        Family::DeepSeekR1 => template::DEEPSEEK_R1.body(request),
        Family::MistralChat | Family::Jamba | Family::DeepSeek | Family::OpenAi | Family::Qwen | Family::Writer => {
            chat::body(family, request)
        }
    };
    // Last, so that a caller can add parameters that the contract lacks, and replace others.
    if let Some(fields) = &request.additional_model_request_fields {
        body.extend(json::from_struct(fields));
    }
    Ok(Value::Object(body))
}

/// What reads the chunks of a family.
pub(crate) fn decoder(family: Family) -> Box<dyn Decode> {
    match family {
        Family::Anthropic | Family::AnthropicText => Box::<anthropic::Decoder>::default(),
        Family::Nova => Box::<nova::Decoder>::default(),
        Family::Titan => completion::TITAN.decoder(),
        Family::CohereCommand => Box::<cohere::Decoder>::default(),
        Family::CohereCommandR => Box::<command_r::Decoder>::default(),
        Family::Llama2 | Family::Llama3 | Family::Llama4 => completion::LLAMA.decoder(),
        Family::Mistral => completion::MISTRAL.decoder(),
        Family::Jurassic2 => completion::JURASSIC_2.decoder(),
        Family::DeepSeekR1
        | Family::MistralChat
        | Family::Jamba
        | Family::DeepSeek
        | Family::OpenAi
        | Family::Qwen
        | Family::Writer => Box::<chat::Decoder>::default(),
    }
}

/// The inner bytes of a `chunk` event.
pub(crate) fn chunk_bytes(event: &Map<String, Value>) -> Result<Vec<u8>, Error> {
    let bytes = event.get("bytes").and_then(Value::as_str).and_then(|text| BASE64_STANDARD.decode(text).ok());
    bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(|| corrupt("a native chunk has no bytes"))
}

/// The beginning of the names of the members that Bedrock adds to the chunk of a model: its metrics, which end the answer, and its guardrail.
const OF_BEDROCK: &str = "amazon-bedrock-";

/// Whether the payload of a `chunk` event has a chunk of the model to which Bedrock adds nothing. It is looked for as text, so `false` also stands for
/// a chunk that has to be parsed to tell.
pub(crate) fn is_plain(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Part<'a> {
        bytes: &'a str,
    }
    let Ok(Part { bytes }) = serde_json::from_slice(payload) else { return false };
    let Ok(chunk) = BASE64_STANDARD.decode(bytes) else { return false };
    let Ok(text) = std::str::from_utf8(&chunk) else { return false };
    // A name can also be written with escapes.
    let is_alone = !text.contains(OF_BEDROCK) && !text.contains("\\u00");
    is_alone && text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The error for a chunk in the format of another family.
fn foreign(family: &str) -> Error {
    corrupt(format!("a native chunk is not in the format of {family} (is model_family right?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_with_something_of_bedrock_however_it_is_written_is_not_plain() {
        let is_plain = |chunk: &str| {
            let payload = serde_json::json!({"bytes": BASE64_STANDARD.encode(chunk), "p": "abc"}).to_string();
            super::is_plain(payload.as_bytes())
        };
        assert!(is_plain(r#"{"type":"content_block_delta","delta":{"text":"caf\u4e2d é"}}"#));
        for chunk in [
            r#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}"#,
            r#"{"text":"x","amazon-bedrock-guardrailAction":"INTERVENED"}"#,
            r#"{"\u0061mazon-bedrock-invocationMetrics":{}}"#,
            r#"{"text":"not ended"#,
            "[]",
            "",
        ] {
            assert!(!is_plain(chunk), "{chunk}");
        }
        for payload in [&b"{}"[..], b"{\"bytes\":\"***\"}", b"{\"bytes\":\"gA==\"}", b"not json"] {
            assert!(!super::is_plain(payload));
        }
    }
}
