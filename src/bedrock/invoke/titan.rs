//! Amazon Titan Text.

use serde_json::{Map, Value};

use super::{
    foreign,
    prompt::{Names, dialogue, parameters},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::{GenerateRequest, TokenUsage},
};

const NAMES: Names =
    Names { max_tokens: "maxTokenCount", temperature: "temperature", top_p: "topP", stop_sequences: "stopSequences" };

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut config = Map::new();
    parameters(request.inference_config.as_ref(), &NAMES, &mut config);
    let mut body = Map::new();
    body.insert("inputText".to_owned(), dialogue(request, "User", "Bot").into());
    body.insert("textGenerationConfig".to_owned(), Value::Object(config));
    body
}

/// The first chunk has the input tokens and the last one the output tokens.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    usage: TokenUsage,
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let text = chunk.text("outputText").ok_or_else(|| foreign("Amazon Titan"))?;
        let index = chunk.int32("index").unwrap_or_default();
        sink.text(index, text);
        self.usage.input_tokens = chunk.int32("inputTextTokenCount").or(self.usage.input_tokens);
        self.usage.output_tokens = chunk.int32("totalOutputTextTokenCount").or(self.usage.output_tokens);
        chunk.null("inputTextTokenCount");
        chunk.null("totalOutputTextTokenCount");
        chunk.null("completionReason");
        if self.usage.output_tokens.is_some() {
            sink.usage(self.usage.clone());
        }
        if let Some(reason) = chunk.text("completionReason") {
            sink.stop(&reason);
        }
        Ok(())
    }
}
