//! The default answer in a model family's own format, for InvokeModel and InvokeModelWithResponseStream.
//!
//! The model id tells the family. For `emulator.default` and ARNs the members of the body do.

use serde_json::{Value, json};

use crate::{
    fold::Event,
    script::{Script, Step},
    whole,
};

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
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
    fn of(model_id: &str, body: &Value) -> Option<Self> {
        // The same Anthropic models accept both of their formats.
        let shaped = SHAPES.iter().find(|(member, _)| body.get(member).is_some()).map(|(_, format)| *format);
        let shaped = shaped.or_else(|| Self::of_prompt(body));
        if model_id.contains("anthropic.") {
            return shaped;
        }
        IDS.iter().find(|(part, _)| model_id.contains(part)).map(|(_, format)| *format).or(shaped)
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

/// Rewrites a Converse answer in the format of the model's family. Fails if the family is not known.
pub(crate) fn script(model_id: &str, body: &Value, converse: Script) -> Result<Script, String> {
    let Some(format) = Format::of(model_id, body) else {
        return Err(format!("Neither {model_id} nor the request body tells the native format."));
    };
    let steps = chunks(format, &texts(&converse)).into_iter().map(Step::Chunk).collect();
    Ok(Script { steps, ..converse })
}

/// An answer with this text in the format that the model id names, or in Cohere's.
pub(crate) fn reply(model_id: &str, text: &str) -> Script {
    let format = Format::of(model_id, &json!({"anthropic_version": ""})).unwrap_or(Format::Cohere);
    let format = if model_id.contains("anthropic.claude-v") { Format::AnthropicText } else { format };
    let texts: Vec<_> = crate::reply::words(text).into_iter().map(str::to_owned).collect();
    Script::of(chunks(format, &texts).into_iter().map(Step::Chunk))
}

/// The answer of the non-streaming operation: the largest chunk, with the text of all.
pub(crate) fn whole(events: &[Event]) -> Value {
    let texts = events.iter().filter_map(|(_, chunk)| {
        let places = [
            "/text",
            "/delta/text",
            "/contentBlockDelta/delta/text",
            "/outputText",
            "/generation",
            "/completion",
            "/outputs/0/text",
            "/choices/0/delta/content",
            "/choices/0/text",
        ];
        places.iter().find_map(|place| chunk.pointer(place)?.as_str())
    });
    let text: String = texts.collect();
    if events.iter().any(|(_, chunk)| chunk["type"] == "message_start") {
        let content = json!([{"type": "text", "text": text}]);
        return json!({"id": "msg_emulated", "type": "message", "role": "assistant", "stop_reason": "end_turn", "content": content});
    }
    json!({"id": "emulated", "generations": [{"id": "emulated-0", "text": text, "finish_reason": "COMPLETE"}]})
}

fn texts(converse: &Script) -> Vec<String> {
    whole::tell(converse)
        .events
        .iter()
        .filter_map(|(_, payload)| payload["delta"]["text"].as_str().map(str::to_owned))
        .collect()
}

/// The chunks of an answer. The last one has Bedrock's metrics.
fn chunks(format: Format, texts: &[String]) -> Vec<Value> {
    let count = texts.len();
    let each = |chunk: &dyn Fn(&String) -> Value| texts.iter().map(chunk).collect::<Vec<_>>();
    let (mut chunks, last) = match format {
        Format::Cohere => (
            each(&|text| json!({"is_finished": false, "text": text})),
            json!({"is_finished": true, "finish_reason": "COMPLETE"}),
        ),
        Format::CommandR => (
            each(&|text| json!({"is_finished": false, "event_type": "text-generation", "text": text})),
            json!({"is_finished": true, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": {
                "text": texts.concat(), "finish_reason": "COMPLETE",
                "meta": {"billed_units": {"input_tokens": 1, "output_tokens": count}},
            }}),
        ),
        Format::Titan => (
            each(
                &|text| json!({"outputText": text, "index": 0, "completionReason": null, "totalOutputTextTokenCount": null, "inputTextTokenCount": 1}),
            ),
            json!({"outputText": "", "index": 0, "completionReason": "FINISH", "totalOutputTextTokenCount": count, "inputTextTokenCount": null}),
        ),
        Format::Llama => (
            each(
                &|text| json!({"generation": text, "prompt_token_count": 1, "generation_token_count": count, "stop_reason": null}),
            ),
            json!({"generation": "", "prompt_token_count": null, "generation_token_count": count, "stop_reason": "stop"}),
        ),
        Format::Mistral => (
            each(&|text| json!({"outputs": [{"text": text, "stop_reason": null}]})),
            json!({"outputs": [{"text": "", "stop_reason": "stop"}]}),
        ),
        Format::Jurassic => (
            Vec::new(),
            json!({"completions": [{"data": {"text": texts.concat()}, "finishReason": {"reason": "endoftext"}}]}),
        ),
        Format::Chat => (
            each(&|text| json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})),
            json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}],
                   "usage": {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}}),
        ),
        Format::ChatText => (
            each(&|text| json!({"choices": [{"text": text, "stop_reason": null}]})),
            json!({"choices": [{"text": "", "stop_reason": "stop"}]}),
        ),
        Format::AnthropicText => (
            each(&|text| json!({"type": "completion", "completion": text, "stop_reason": null, "stop": null})),
            json!({"type": "completion", "completion": "", "stop_reason": "stop_sequence", "stop": "\n\nHuman:"}),
        ),
        Format::Anthropic => anthropic(texts),
        Format::Nova => nova(texts),
    };
    chunks.push(last);
    if let Some(Value::Object(last)) = chunks.last_mut() {
        let metrics =
            json!({"inputTokenCount": 1, "outputTokenCount": count, "invocationLatency": 500, "firstByteLatency": 350});
        last.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    }
    chunks
}

fn anthropic(texts: &[String]) -> (Vec<Value>, Value) {
    let message = json!({
        "id": "msg_emulated", "type": "message", "role": "assistant", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    let mut chunks = vec![
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    chunks.extend(
        texts.iter().map(
            |text| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        ),
    );
    chunks.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": texts.len()}}),
    ]);
    (chunks, json!({"type": "message_stop"}))
}

fn nova(texts: &[String]) -> (Vec<Value>, Value) {
    let mut chunks = vec![json!({"messageStart": {"role": "assistant"}})];
    chunks.extend(
        texts.iter().map(|text| json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": text}}})),
    );
    chunks.extend([
        json!({"contentBlockStop": {"contentBlockIndex": 0}}),
        json!({"messageStop": {"stopReason": "end_turn"}}),
    ]);
    let usage = json!({"inputTokens": 1, "outputTokens": texts.len()});
    (chunks, json!({"metadata": {"usage": usage, "metrics": {}, "trace": {}}}))
}
