//! The prompt of Anthropic's old text completions. [`super::anthropic`] decodes the answers, because these models can also answer in
//! the format of Messages.

use serde_json::{Map, Value};

use super::prompt::{Names, parameters, system_of, turns};
use crate::proto::GenerateRequest;

const NAMES: Names = Names {
    max_tokens: "max_tokens_to_sample",
    temperature: "temperature",
    top_p: "top_p",
    stop_sequences: "stop_sequences",
};

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let turns = turns(request, |text| format!("\n\nHuman: {text}"), |text| format!("\n\nAssistant: {text}"));
    let prompt = system_of(request).unwrap_or_default() + &turns + "\n\nAssistant:";
    let mut body = Map::new();
    body.insert("prompt".to_owned(), prompt.into());
    parameters(request.inference_config.as_ref(), &NAMES, &mut body);
    body
}
