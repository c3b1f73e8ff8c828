//! Shared by families: conversations as one text, and sampling parameters under the names of a family.

use serde_json::{Map, Value};

use crate::{
    json,
    proto::{GenerateRequest, InferenceConfiguration, Message, Role, content_block::Block, system_content_block},
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

/// A conversation as one text. `user` and `assistant` write the messages of their roles.
pub(super) fn turns(
    request: &GenerateRequest,
    mut user: impl FnMut(String) -> String,
    assistant: impl Fn(String) -> String,
) -> String {
    let turn = |message| if is_assistant(message) { assistant(text_of(message)) } else { user(text_of(message)) };
    request.messages.iter().map(turn).collect()
}

/// A conversation as one text: a single message unchanged, several messages with the names of their speakers.
pub(super) fn dialogue(request: &GenerateRequest, user: &str, assistant: &str) -> String {
    if let [only] = request.messages.as_slice() {
        return text_of(only);
    }
    turns(request, |text| format!("{user}: {text}\n"), |text| format!("{assistant}: {text}\n")) + assistant + ":"
}

/// The names of the sampling parameters in a family's format. A parameter with an empty name is not sent.
pub(super) struct Names {
    pub(super) max_tokens: &'static str,
    pub(super) temperature: &'static str,
    pub(super) top_p: &'static str,
    pub(super) stop_sequences: &'static str,
}

/// The parameters that are set, under the family's names.
pub(super) fn parameters(config: Option<&InferenceConfiguration>, names: &Names, into: &mut Map<String, Value>) {
    let Some(config) = config else { return };
    let stop = (!config.stop_sequences.is_empty()).then(|| Value::from(config.stop_sequences.clone()));
    let values = [
        (names.max_tokens, config.max_tokens.map(Value::from)),
        (names.temperature, config.temperature.map(decimal)),
        (names.top_p, config.top_p.map(decimal)),
        (names.stop_sequences, stop),
    ];
    for (name, value) in values {
        if let (false, Some(value)) = (name.is_empty(), value) {
            into.insert(name.to_owned(), value);
        }
    }
}

/// A float as its shortest decimal: 0.01 and not 0.009999999776482582.
fn decimal(number: f32) -> Value {
    json::number(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
}
