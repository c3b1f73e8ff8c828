//! Answers in a model family's own format, for InvokeModel and InvokeModelWithResponseStream.
//!
//! The model id tells the family. For scripts and ARNs the members of the body do. `stream` writes the events of a script as chunks of the
//! family, `whole` writes its whole answer, and `read` makes events of scripted chunks. `reason` has the names of stop reasons.

mod read;
mod reason;
mod stream;
mod whole;

use serde_json::{Value, json};

pub(crate) use self::{read::events, stream::Translator, whole::whole};
use crate::{
    reply,
    script::{Script, Step},
    usage::TokenUsage,
};

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Anthropic,
    AnthropicText,
    Nova,
    Titan,
    Cohere,
    CommandR,
    Llama,
    Mistral,
    Jurassic,
    Chat,
    ChatText,
}

/// Parts of the model ids of each family.
const IDS: [(&str, Format); 15] = [
    ("amazon.nova", Format::Nova),
    ("amazon.titan-t", Format::Titan),
    ("cohere.command-r", Format::CommandR),
    ("cohere.command", Format::Cohere),
    ("meta.llama", Format::Llama),
    ("mistral.mistral-large-2407", Format::Chat),
    ("mistral.pixtral", Format::Chat),
    ("mistral.", Format::Mistral),
    ("ai21.j2", Format::Jurassic),
    ("ai21.jamba", Format::Chat),
    ("deepseek.r1", Format::ChatText),
    ("deepseek.", Format::Chat),
    ("openai.", Format::Chat),
    ("qwen.", Format::Chat),
    ("writer.", Format::Chat),
];

/// Members that a body has only in one format.
const SHAPES: [(&str, Format); 8] = [
    ("anthropic_version", Format::Anthropic),
    ("max_tokens_to_sample", Format::AnthropicText),
    ("schemaVersion", Format::Nova),
    ("inputText", Format::Titan),
    ("max_gen_len", Format::Llama),
    ("maxTokens", Format::Jurassic),
    ("message", Format::CommandR),
    ("messages", Format::Chat),
];

impl Format {
    /// The format of the answer to this body. `None` if neither the model id nor the body tells it.
    pub(crate) fn of(model_id: &str, body: &Value) -> Option<Self> {
        // The same Anthropic models accept both of their formats.
        let shaped = SHAPES.iter().find(|(member, _)| body.get(member).is_some()).map(|(_, format)| *format);
        let shaped = shaped.or_else(|| Self::of_prompt(body));
        if model_id.contains("anthropic.") {
            return shaped;
        }
        match IDS.iter().find(|(part, _)| model_id.contains(part)).map(|(_, format)| *format) {
            // The newer ones of these models have messages.
            Some(Self::Mistral) if body.get("messages").is_some() => Some(Self::Chat),
            format => format.or(shaped),
        }
    }

    /// Finds the format of a single prompt by its template.
    fn of_prompt(body: &Value) -> Option<Self> {
        let prompt = body["prompt"].as_str()?;
        Some(match prompt {
            _ if prompt.contains("<|start_header_id|>") || prompt.contains("<|header_start|>") => Self::Llama,
            _ if prompt.contains("[INST]") => Self::Mistral,
            _ if prompt.contains("<｜User｜>") => Self::ChatText,
            _ => Self::Cohere,
        })
    }
}

/// Whether these steps need the format of a family: they have events of Converse.
pub(crate) fn needs_format(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Event { event_type, .. } => stream::EVENTS.contains(&event_type.as_str()),
        Step::Reply(_) | Step::Stamped(_) => true,
        Step::Repeat { steps, .. } => needs_format(steps),
        _ => false,
    })
}

/// An answer with this text in the format that the model id names, or in Cohere's.
pub(crate) fn reply(model_id: &str, text: &str) -> Script {
    let format = Format::of(model_id, &json!({"anthropic_version": ""})).unwrap_or(Format::Cohere);
    let format = if model_id.contains("anthropic.claude-v") { Format::AnthropicText } else { format };
    let converse = Script::of(reply::steps(text, 1));
    let mut translator = Translator::new(format, &converse);
    Script::of(converse.steps.into_iter().flat_map(|step| translator.step(step)))
}

/// The usage in the format of Anthropic.
fn anthropic_usage(usage: TokenUsage) -> Value {
    let TokenUsage { input, output, cache_read, cache_write } = usage;
    let mut json = json!({"input_tokens": input, "output_tokens": output});
    let cache = [("cache_read_input_tokens", cache_read), ("cache_creation_input_tokens", cache_write)];
    for (name, count) in cache.into_iter().filter(|(_, count)| *count > 0) {
        json[name] = count.into();
    }
    json
}

/// The usage in the format of Nova.
fn nova_usage(usage: TokenUsage) -> Value {
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output, "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_write,
    })
}

#[cfg(test)]
mod tests;
