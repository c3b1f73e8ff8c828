//! Meta Llama 2, 3 and 4, each with its own chat template.

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
    proto::{GenerateRequest, TokenUsage},
    request::Family,
};

const NAMES: Names =
    Names { max_tokens: "max_gen_len", temperature: "temperature", top_p: "top_p", stop_sequences: "" };

/// The special tokens of a template.
struct Tokens {
    start_header: &'static str,
    end_header: &'static str,
    end_of_turn: &'static str,
}

const LLAMA_3: Tokens =
    Tokens { start_header: "<|start_header_id|>", end_header: "<|end_header_id|>", end_of_turn: "<|eot_id|>" };

const LLAMA_4: Tokens =
    Tokens { start_header: "<|header_start|>", end_header: "<|header_end|>", end_of_turn: "<|eot|>" };

pub(super) fn body(family: Family, request: &GenerateRequest) -> Map<String, Value> {
    let prompt = match family {
        Family::Llama4 => with_headers(request, &LLAMA_4),
        Family::Llama3 => with_headers(request, &LLAMA_3),
        _ => with_instructions(request),
    };
    let mut body = Map::new();
    body.insert("prompt".to_owned(), prompt.into());
    parameters(request.inference_config.as_ref(), &NAMES, &mut body);
    body
}

/// The template of Llama 3 and 4: each message follows a header with its role.
fn with_headers(request: &GenerateRequest, tokens: &Tokens) -> String {
    let Tokens { start_header, end_header, end_of_turn } = tokens;
    let turn = |role: &str, text: &str| format!("{start_header}{role}{end_header}\n\n{text}{end_of_turn}");
    let system = system_of(request).map(|system| turn("system", &system)).unwrap_or_default();
    let turns = turns(request, |text| turn("user", &text), |text| turn("assistant", &text));
    format!("<|begin_of_text|>{system}{turns}{start_header}assistant{end_header}\n\n")
}

/// The template of Llama 2.
fn with_instructions(request: &GenerateRequest) -> String {
    let mut system = system_of(request).map(|system| format!("<<SYS>>\n{system}\n<</SYS>>\n\n")).unwrap_or_default();
    let user = |text| format!("<s>[INST] {}{text} [/INST]", std::mem::take(&mut system));
    turns(request, user, |text| format!(" {text} </s>"))
}

/// The first chunk has the tokens of the prompt. The number of generated tokens grows with each chunk.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    usage: TokenUsage,
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let text = chunk.text("generation").ok_or_else(|| foreign("Meta Llama"))?;
        sink.text(0, text);
        self.usage.input_tokens = chunk.int32("prompt_token_count").or(self.usage.input_tokens);
        self.usage.output_tokens = chunk.int32("generation_token_count").or(self.usage.output_tokens);
        for name in ["prompt_token_count", "generation_token_count", "stop_reason"] {
            chunk.null(name);
        }
        if let Some(reason) = chunk.text("stop_reason") {
            sink.usage(self.usage.clone());
            sink.stop(&reason);
        }
        Ok(())
    }
}
