//! The attributes of a request. None of them has a part of a prompt.

use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::attributes::{bounded, text};
use crate::{
    proto::{GenerateRequest, InferenceConfiguration},
    request::{native::is_native, relayed},
};

/// The number of stop sequences in an attribute.
const MAX_STOP_SEQUENCES: usize = 8;

/// What a call asks of Bedrock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// An answer.
    Generation(&'a GenerateRequest),
    /// An answer that is relayed as it is.
    Relayed(relayed::Operation),
    /// The number of tokens of a request.
    TokenCount,
}

/// The operation of Bedrock, which can depend on the model of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Of a request for an answer: what of it decides.
    Generation { is_raw: bool, request: Box<GenerateRequest> },
    /// Of a request whose body is relayed.
    Relayed(&'static str),
    /// Of a request for the number of tokens.
    TokenCount,
}

impl Operation {
    pub(super) fn of(asked: Asked<'_>) -> Self {
        let request = match asked {
            Asked::Generation(request) => request,
            Asked::Relayed(operation) => return Self::Relayed(operation.name()),
            Asked::TokenCount => return Self::TokenCount,
        };
        let (operation, model_family) = (request.operation, request.model_family.clone());
        let decisive = GenerateRequest { operation, model_family, ..GenerateRequest::default() };
        Self::Generation { is_raw: !request.native_body.is_empty(), request: Box::new(decisive) }
    }

    /// Its name at this model.
    pub(super) fn at(&mut self, model_id: &str) -> &'static str {
        match self {
            Self::TokenCount => "CountTokens",
            Self::Relayed(name) => name,
            Self::Generation { is_raw, request } => {
                model_id.clone_into(&mut request.model);
                if *is_raw || is_native(request) { "InvokeModelWithResponseStream" } else { "ConverseStream" }
            }
        }
    }
}

/// The attributes of a request for an answer.
pub(super) fn attributes(request: &GenerateRequest) -> Vec<KeyValue> {
    let mut all = vec![KeyValue::new("gen_ai.request.stream", true)];
    let mut add = |name: &'static str, value: Option<Value>| all.extend(value.map(|value| KeyValue::new(name, value)));
    let InferenceConfiguration { max_tokens, temperature, top_p, stop_sequences } =
        request.inference_config.clone().unwrap_or_default();
    add("gen_ai.request.max_tokens", max_tokens.map(|number| Value::from(i64::from(number))));
    add("gen_ai.request.temperature", temperature.map(written));
    add("gen_ai.request.top_p", top_p.map(written));
    let stops = stop_sequences.iter().take(MAX_STOP_SEQUENCES);
    let stops: Vec<_> = stops.map(|stop| StringValue::from(bounded(stop).to_owned())).collect();
    add("gen_ai.request.stop_sequences", (!stops.is_empty()).then(|| Value::Array(Array::from(stops))));
    let some = |value: &str| (!value.is_empty()).then(|| text(value));
    add("gen_ai.conversation.id", some(&request.conversation_id));
    let guardrail = request.guardrail_config.as_ref().map(|config| config.guardrail_identifier.as_str());
    add("aws.bedrock.guardrail.id", guardrail.and_then(some));
    let effort = request.output_config.as_ref().map(|config| config.effort.as_str());
    add("gen_ai.request.reasoning.level", effort.and_then(some));
    all
}

/// A number as it was written: 0.1 and not 0.10000000149.
fn written(number: f32) -> Value {
    Value::from(number.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ContentBlock, GuardrailStreamConfiguration, Message, OutputConfig, content_block::Block};

    #[test]
    fn a_request_is_described_without_its_prompt() {
        let said = |text: &str| Message {
            content: vec![ContentBlock { block: Some(Block::Text(text.to_owned())) }],
            ..Message::default()
        };
        let request = GenerateRequest {
            prompt: "swordfish".to_owned(),
            messages: vec![said("swordfish")],
            inference_config: Some(InferenceConfiguration {
                max_tokens: Some(100),
                temperature: Some(0.1),
                top_p: Some(1.0),
                stop_sequences: vec!["END".to_owned(), "x".repeat(10_000)],
            }),
            guardrail_config: Some(GuardrailStreamConfiguration {
                guardrail_identifier: "gr-1".to_owned(),
                ..GuardrailStreamConfiguration::default()
            }),
            output_config: Some(OutputConfig { effort: "low".to_owned(), ..OutputConfig::default() }),
            conversation_id: "c-1".to_owned(),
            ..GenerateRequest::default()
        };
        let described: Vec<_> =
            attributes(&request).iter().map(|pair| format!("{}={:?}", pair.key, pair.value)).collect();
        let described = described.join("\n");
        for part in [
            "gen_ai.request.stream=Bool(true)",
            "gen_ai.request.max_tokens=I64(100)",
            "gen_ai.request.temperature=F64(0.1)",
            "gen_ai.request.top_p=F64(1.0)",
            "gen_ai.conversation.id=String(Owned(\"c-1\"))",
            "aws.bedrock.guardrail.id=String(Owned(\"gr-1\"))",
            "gen_ai.request.reasoning.level=String(Owned(\"low\"))",
            "END",
        ] {
            assert!(described.contains(part), "{part} in {described}");
        }
        assert!(!described.contains("swordfish"), "{described}");
        assert!(described.len() < 2_000, "a long stop sequence is cut: {}", described.len());
        assert_eq!(attributes(&GenerateRequest::default()).len(), 1, "what is not set is left out");
    }

    #[test]
    fn the_operation_is_that_of_the_model_of_the_attempt() {
        let mut operation = Operation::of(Asked::Generation(&GenerateRequest::default()));
        assert_eq!(operation.at("anthropic.claude-sonnet-4"), "ConverseStream");
        let raw = GenerateRequest { native_body: "{}".to_owned(), ..GenerateRequest::default() };
        assert_eq!(Operation::of(Asked::Generation(&raw)).at("a.b"), "InvokeModelWithResponseStream");
        let native = GenerateRequest { model_family: "nova".to_owned(), ..GenerateRequest::default() };
        assert_eq!(Operation::of(Asked::Generation(&native)).at("a.b"), "InvokeModelWithResponseStream");
        assert_eq!(Operation::of(Asked::TokenCount).at("a.b"), "CountTokens");
    }
}
