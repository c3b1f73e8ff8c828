//! Mistral's older models. The request is one prompt, and answers have `outputs`. The newer models are in [`super::chat`].

use serde_json::{Map, Value};

use super::{
    foreign,
    prompt::{Names, parameters, system_of, turns},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::GenerateRequest,
};

const NAMES: Names =
    Names { max_tokens: "max_tokens", temperature: "temperature", top_p: "top_p", stop_sequences: "stop" };

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    // The format has no system prompt, so it is written before the first instruction.
    let mut system = system_of(request).map(|system| system + "\n\n").unwrap_or_default();
    let user = |text| format!("[INST] {}{text} [/INST]", std::mem::take(&mut system));
    let prompt = String::from("<s>") + &turns(request, user, |text| format!(" {text}</s>"));
    let mut body = Map::new();
    body.insert("prompt".to_owned(), prompt.into());
    parameters(request.inference_config.as_ref(), &NAMES, &mut body);
    body
}

#[derive(Debug, Default)]
pub(super) struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let outputs = chunk.list("outputs", |output| {
            output.null("stop_reason");
            (output.text("text").unwrap_or_default(), output.text("stop_reason"))
        });
        for (index, (text, reason)) in (0..).zip(outputs.ok_or_else(|| foreign("Mistral"))?) {
            sink.text(index, text);
            if let Some(reason) = reason {
                sink.stop(&reason);
            }
        }
        Ok(())
    }
}
