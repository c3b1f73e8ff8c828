//! Cohere Command (text and light). Its streams have three forms: one chunk with everything, a chunk a token, and a chunk a
//! token of several generations, which become content blocks.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    foreign,
    shared::Names,
    template::{PLAIN, Template, dialogue},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::GenerateRequest,
};

const TEMPLATE: Template = Template {
    write: |request| dialogue(request, "User", "Chatbot"),
    names: Names { max_tokens: "max_tokens", top_p: "p", stop_sequences: "stop_sequences" },
    ..PLAIN
};

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut body = TEMPLATE.body(request);
    body.insert("stream".to_owned(), true.into());
    body
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The generations that have begun, and whether each has ended.
    ended: BTreeMap<i32, bool>,
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let Some(generations) =
            chunk.list("generations", |generation| (generation.text("text"), generation.text("finish_reason")))
        {
            let mut finish = String::new();
            for (index, (text, reason)) in (0..).zip(generations) {
                sink.text(index, text.unwrap_or_default());
                finish = reason.unwrap_or(finish);
            }
            sink.stop(&finish);
            return Ok(());
        }
        let finished = chunk.bool("is_finished").ok_or_else(|| foreign("Cohere Command"))?;
        let generation = chunk.int32("index");
        let index = generation.unwrap_or_default();
        sink.text(index, chunk.text("text").unwrap_or_default());
        self.ended.insert(index, finished);
        if finished {
            let reason = chunk.text("finish_reason").unwrap_or_default();
            // An end that names no generation is that of all.
            if generation.is_none() || self.ended.values().all(|ended| *ended) {
                sink.stop(&reason);
            } else {
                sink.block_stop(index);
            }
        }
        Ok(())
    }
}
