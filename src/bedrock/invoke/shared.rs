//! Shared by formats: the texts of a request, and sampling parameters under the names of a format.

use serde_json::{Map, Value};

use crate::{
    json,
    proto::{GenerateRequest, Message, Role, content_block::Block, system_content_block},
};

/// The text of a message.
pub(super) fn text_of(message: &Message) -> String {
    let texts = message.content.iter().filter_map(|block| match &block.block {
        Some(Block::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The system prompt, if there is one.
pub(super) fn system_of(request: &GenerateRequest) -> Option<String> {
    let texts: Vec<_> = request
        .system
        .iter()
        .filter_map(|block| match &block.block {
            Some(system_content_block::Block::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Whether the model wrote this message.
pub(super) fn is_assistant(message: &Message) -> bool {
    message.role() == Role::Assistant
}

/// The role of a message, in the word of most formats.
pub(super) fn role_of(message: &Message) -> &'static str {
    if is_assistant(message) { "assistant" } else { "user" }
}

/// The names of the sampling parameters in a format. A parameter with an empty name is not sent. All formats call the temperature the same.
pub(super) struct Names {
    pub(super) max_tokens: &'static str,
    pub(super) top_p: &'static str,
    pub(super) stop_sequences: &'static str,
}

impl Names {
    /// The parameters that the request sets, under these names.
    pub(super) fn parameters(&self, request: &GenerateRequest) -> Map<String, Value> {
        let Some(config) = &request.inference_config else { return Map::new() };
        let stop = (!config.stop_sequences.is_empty()).then(|| Value::from(config.stop_sequences.clone()));
        let values = [
            (self.max_tokens, config.max_tokens.map(Value::from)),
            ("temperature", config.temperature.map(decimal)),
            (self.top_p, config.top_p.map(decimal)),
            (self.stop_sequences, stop),
        ];
        let set = values.into_iter().filter(|(name, _)| !name.is_empty());
        set.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// A float as its shortest decimal: 0.01 and not 0.009999999776482582.
fn decimal(number: f32) -> Value {
    json::number(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
}
