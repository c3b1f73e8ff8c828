//! Requests with one prompt. A format is a [`Template`]: how a conversation is written as a prompt, and the names of the members.

use std::mem;

use serde_json::{Map, Value};

use super::shared::{Names, is_assistant, system_of, text_of};
use crate::proto::GenerateRequest;

/// A request format.
pub(super) struct Template {
    /// Writes a conversation as a prompt.
    pub(super) write: fn(&GenerateRequest) -> String,
    /// The member with the prompt.
    pub(super) prompt: &'static str,
    /// The object with the sampling parameters. If empty, they are beside the prompt.
    pub(super) config: &'static str,
    /// The names of the sampling parameters.
    pub(super) names: Names,
}

/// What most formats have in common.
pub(super) const PLAIN: Template = Template {
    write: |request| dialogue(request, "User", "Assistant"),
    prompt: "prompt",
    config: "",
    names: Names { max_tokens: "max_tokens", top_p: "top_p", stop_sequences: "stop" },
};

/// Anthropic's old text completions.
pub(super) const ANTHROPIC_TEXT: Template = Template {
    write: anthropic_text,
    names: Names { max_tokens: "max_tokens_to_sample", top_p: "top_p", stop_sequences: "stop_sequences" },
    ..PLAIN
};

/// DeepSeek R1.
pub(super) const DEEPSEEK_R1: Template = Template { write: deepseek_r1, ..PLAIN };

/// AI21 Jurassic-2.
pub(super) const JURASSIC_2: Template =
    Template { names: Names { max_tokens: "maxTokens", top_p: "topP", stop_sequences: "stopSequences" }, ..PLAIN };

/// Meta Llama 3.
pub(super) const LLAMA_3: Template = Template {
    write: |request| llama(request, |role| format!("<|start_header_id|>{role}<|end_header_id|>\n\n"), "<|eot_id|>"),
    names: Names { max_tokens: "max_gen_len", top_p: "top_p", stop_sequences: "" },
    ..PLAIN
};

/// Meta Llama 2.
pub(super) const LLAMA_2: Template = Template { write: llama_2, ..LLAMA_3 };

/// Meta Llama 4.
pub(super) const LLAMA_4: Template = Template {
    write: |request| llama(request, |role| format!("<|header_start|>{role}<|header_end|>\n\n"), "<|eot|>"),
    ..LLAMA_3
};

/// Mistral's older models.
pub(super) const MISTRAL: Template = Template { write: mistral, ..PLAIN };

/// Amazon Titan Text.
pub(super) const TITAN: Template = Template {
    write: |request| dialogue(request, "User", "Bot"),
    prompt: "inputText",
    config: "textGenerationConfig",
    names: Names { max_tokens: "maxTokenCount", top_p: "topP", stop_sequences: "stopSequences" },
};

impl Template {
    /// The body of a request.
    pub(super) fn body(&self, request: &GenerateRequest) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert(self.prompt.to_owned(), (self.write)(request).into());
        let config = self.names.parameters(request);
        if self.config.is_empty() {
            body.extend(config);
        } else {
            body.insert(self.config.to_owned(), config.into());
        }
        body
    }
}

/// A conversation as one text: a single message unchanged, several messages with the names of their speakers.
pub(super) fn dialogue(request: &GenerateRequest, user: &str, assistant: &str) -> String {
    if let [only] = request.messages.as_slice() {
        return text_of(only);
    }
    turns(request, |text| format!("{user}: {text}\n"), |text| format!("{assistant}: {text}\n")) + assistant + ":"
}

/// A conversation as one text. `user` and `assistant` write the messages of their roles.
fn turns(
    request: &GenerateRequest,
    mut user: impl FnMut(String) -> String,
    assistant: impl Fn(String) -> String,
) -> String {
    let turn = |message| if is_assistant(message) { assistant(text_of(message)) } else { user(text_of(message)) };
    request.messages.iter().map(turn).collect()
}

fn anthropic_text(request: &GenerateRequest) -> String {
    let turns = turns(request, |text| format!("\n\nHuman: {text}"), |text| format!("\n\nAssistant: {text}"));
    system_of(request).unwrap_or_default() + &turns + "\n\nAssistant:"
}

fn deepseek_r1(request: &GenerateRequest) -> String {
    let assistant = |text| format!("<｜Assistant｜>{text}<｜end▁of▁sentence｜>");
    let turns = turns(request, |text| format!("<｜User｜>{text}"), assistant);
    let system = system_of(request).unwrap_or_default();
    format!("<｜begin▁of▁sentence｜>{system}{turns}<｜Assistant｜><think>\n")
}

/// The template of Llama 3 and 4. Each message follows a header with its role.
fn llama(request: &GenerateRequest, header: fn(&str) -> String, end_of_turn: &str) -> String {
    let turn = |role: &str, text: &str| header(role) + text + end_of_turn;
    let system = system_of(request).map(|system| turn("system", &system)).unwrap_or_default();
    let turns = turns(request, |text| turn("user", &text), |text| turn("assistant", &text));
    format!("<|begin_of_text|>{system}{turns}{}", header("assistant"))
}

fn llama_2(request: &GenerateRequest) -> String {
    let mut system = system_of(request).map(|system| format!("<<SYS>>\n{system}\n<</SYS>>\n\n")).unwrap_or_default();
    let user = |text| format!("<s>[INST] {}{text} [/INST]", mem::take(&mut system));
    turns(request, user, |text| format!(" {text} </s>"))
}

/// The template has no system prompt, so it is written before the first instruction.
fn mistral(request: &GenerateRequest) -> String {
    let mut system = system_of(request).map(|system| system + "\n\n").unwrap_or_default();
    let user = |text| format!("[INST] {}{text} [/INST]", mem::take(&mut system));
    String::from("<s>") + &turns(request, user, |text| format!(" {text}</s>"))
}
