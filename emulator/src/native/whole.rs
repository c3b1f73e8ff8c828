//! Writes the answer of Converse as the whole answer of a family.

use serde_json::{Value, json};

use super::{Format, reason};
use crate::usage::TokenUsage;

/// The whole answer in this format. What the format does not have is left out.
pub(crate) fn whole(format: Format, converse: &Value) -> Value {
    let message = &converse["output"]["message"];
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stop = converse["stopReason"].as_str();
    let stop = stop.map(|stop| reason::named(format, stop));
    let usage = &converse["usage"];
    let (input, output) = (&usage["inputTokens"], &usage["outputTokens"]);
    let text = text_of(blocks);
    match format {
        Format::Anthropic => {
            let content: Vec<Value> = blocks.iter().filter_map(anthropic).collect();
            json!({
                "id": "msg_emulated", "type": "message", "role": message["role"], "content": content,
                "stop_reason": stop, "stop_sequence": converse["additionalModelResponseFields"]["stop_sequence"],
                "usage": super::anthropic_usage(TokenUsage::of_json(usage).unwrap_or_default()),
            })
        }
        Format::AnthropicText => {
            let sequence = (stop == Some("stop_sequence")).then_some("\n\nHuman:");
            json!({"type": "completion", "completion": text, "stop_reason": stop, "stop": sequence})
        }
        Format::Nova => {
            let mut own = super::nova_usage(TokenUsage::of_json(usage).unwrap_or_default());
            own["totalTokens"] = usage["totalTokens"].clone();
            json!({"output": converse["output"], "stopReason": stop, "usage": own})
        }
        Format::Titan => json!({
            "inputTextTokenCount": input,
            "results": [{"tokenCount": output, "outputText": text, "completionReason": stop}],
        }),
        Format::Cohere => json!({
            "id": "emulated", "generations": [{"id": "emulated-0", "text": text, "finish_reason": stop}],
        }),
        Format::CommandR => {
            let calls = tools(blocks).map(|tool| json!({"name": tool["name"], "parameters": tool["input"]}));
            let calls: Vec<Value> = calls.collect();
            let meta = json!({"billed_units": {"input_tokens": input, "output_tokens": output}});
            let mut answer = json!({
                "response_id": "emulated", "generation_id": "emulated-0", "text": text, "finish_reason": stop,
                "meta": meta,
            });
            if !calls.is_empty() {
                answer["tool_calls"] = calls.into();
            }
            answer
        }
        Format::Llama => json!({
            "generation": text, "prompt_token_count": input, "generation_token_count": output, "stop_reason": stop,
        }),
        Format::Mistral => json!({"outputs": [{"text": text, "stop_reason": stop}]}),
        Format::Jurassic => json!({
            "id": "emulated", "completions": [{"data": {"text": text}, "finishReason": {"reason": stop}}],
        }),
        Format::ChatText => json!({"choices": [{"text": text, "stop_reason": stop}]}),
        Format::Chat => json!({
            "id": "emulated", "object": "chat.completion",
            "choices": [{"index": 0, "message": chat(message, &text, blocks), "finish_reason": stop}],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": usage["totalTokens"]},
        }),
    }
}

fn text_of(blocks: &[Value]) -> String {
    let text = |block: &Value| {
        let cited = block.pointer("/citationsContent/content/0/text").and_then(Value::as_str);
        block["text"].as_str().or(cited).map(str::to_owned)
    };
    blocks.iter().filter_map(text).collect()
}

fn tools(blocks: &[Value]) -> impl Iterator<Item = &Value> {
    blocks.iter().filter_map(|block| block.get("toolUse"))
}

fn anthropic(block: &Value) -> Option<Value> {
    if let Some(tool) = block.get("toolUse") {
        let kind = tool["type"].as_str().unwrap_or("tool_use");
        return Some(json!({"type": kind, "id": tool["toolUseId"], "name": tool["name"], "input": tool["input"]}));
    }
    let reasoning = &block["reasoningContent"];
    if let Some(data) = reasoning.get("redactedContent") {
        return Some(json!({"type": "redacted_thinking", "data": data}));
    }
    if let Some(said) = reasoning.get("reasoningText") {
        return Some(json!({"type": "thinking", "thinking": said["text"], "signature": said["signature"]}));
    }
    let text = text_of(std::slice::from_ref(block));
    (block.get("text").is_some() || !text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn chat(message: &Value, text: &str, blocks: &[Value]) -> Value {
    let mut chat = json!({"role": message["role"], "content": text});
    let calls = tools(blocks).map(|tool| {
        let function = json!({"name": tool["name"], "arguments": tool["input"].to_string()});
        json!({"id": tool["toolUseId"], "type": "function", "function": function})
    });
    let calls: Vec<Value> = calls.collect();
    if !calls.is_empty() {
        chat["tool_calls"] = calls.into();
    }
    let thought = blocks.iter().filter_map(|block| block.pointer("/reasoningContent/reasoningText/text")?.as_str());
    let thought: String = thought.collect();
    if !thought.is_empty() {
        chat["reasoning_content"] = thought.into();
    }
    chat
}
