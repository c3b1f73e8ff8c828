//! The prompt of DeepSeek R1, which is one text. Its answers have `choices`: [`super::chat`] decodes them.

use serde_json::{Map, Value};

use super::prompt::{Names, parameters, system_of, turns};
use crate::proto::GenerateRequest;

const NAMES: Names =
    Names { max_tokens: "max_tokens", temperature: "temperature", top_p: "top_p", stop_sequences: "stop" };

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let assistant = |text| format!("<｜Assistant｜>{text}<｜end▁of▁sentence｜>");
    let turns = turns(request, |text| format!("<｜User｜>{text}"), assistant);
    let system = system_of(request).unwrap_or_default();
    let prompt = format!("<｜begin▁of▁sentence｜>{system}{turns}<｜Assistant｜><think>\n");
    let mut body = Map::new();
    body.insert("prompt".to_owned(), prompt.into());
    parameters(request.inference_config.as_ref(), &NAMES, &mut body);
    body
}
