//! AI21 Jurassic-2. Its answers have `completions`.

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
    proto::GenerateRequest,
};

const NAMES: Names =
    Names { max_tokens: "maxTokens", temperature: "temperature", top_p: "topP", stop_sequences: "stopSequences" };

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("prompt".to_owned(), dialogue(request, "User", "Assistant").into());
    parameters(request.inference_config.as_ref(), &NAMES, &mut body);
    body
}

#[derive(Debug, Default)]
pub(super) struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let completions = chunk.list("completions", |completion| {
            let text = completion.object("data", |data| data.text("text"));
            (text.unwrap_or_default(), completion.object("finishReason", |finish| finish.text("reason")))
        });
        for (index, (text, reason)) in (0..).zip(completions.ok_or_else(|| foreign("AI21 Jurassic-2"))?) {
            sink.text(index, text);
            if let Some(reason) = reason {
                sink.stop(&reason);
            }
        }
        Ok(())
    }
}
