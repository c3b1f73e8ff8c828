//! Cohere Command R and R+.

use serde_json::{Map, Value, json};

use super::{
    foreign,
    shared::{Names, is_assistant, system_of, text_of},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::{GenerateRequest, TokenUsage},
};

const NAMES: Names = Names { max_tokens: "max_tokens", top_p: "p", stop_sequences: "stop_sequences" };

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut body = Map::new();
    let (last, before) = match request.messages.split_last() {
        Some((last, before)) => (text_of(last), before),
        None => (String::new(), &[][..]),
    };
    body.insert("message".to_owned(), last.into());
    if !before.is_empty() {
        let turns = before.iter().map(|message| {
            json!({"role": if is_assistant(message) { "CHATBOT" } else { "USER" }, "message": text_of(message)})
        });
        body.insert("chat_history".to_owned(), turns.collect());
    }
    if let Some(system) = system_of(request) {
        body.insert("preamble".to_owned(), system.into());
    }
    body.extend(NAMES.parameters(request));
    body
}

#[derive(Debug, Default)]
pub(super) struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        match chunk.text("event_type").as_deref() {
            Some("text-generation") => {
                chunk.bool("is_finished");
                sink.text(0, chunk.text("text").unwrap_or_default());
            }
            Some("stream-end") => {
                chunk.bool("is_finished");
                let again = chunk.object("response", |response| {
                    // The last chunk repeats the text, which was sent already.
                    response.text("text");
                    let usage = response.object("meta", |meta| meta.object("billed_units", |units| Some(usage(units))));
                    if let Some(usage) = usage {
                        sink.usage(usage);
                    }
                    Some(response.text("finish_reason"))
                });
                let reason = chunk.text("finish_reason").or(again.flatten()).unwrap_or_default();
                sink.stop(&reason);
            }
            // Other events (citations, searches) have no counterpart and are sent to the caller unchanged.
            Some(other) => {
                chunk.put("event_type", other.into());
                sink.unknown();
            }
            None => return Err(foreign("Cohere Command R")),
        }
        Ok(())
    }
}

fn usage(units: &mut Members) -> TokenUsage {
    TokenUsage {
        input_tokens: units.int32("input_tokens"),
        output_tokens: units.int32("output_tokens"),
        ..TokenUsage::default()
    }
}
