//! The default answer in a model family's own format, for InvokeModel and InvokeModelWithResponseStream.
//!
//! Comes after [`crate::reply`], whose Converse events it rewrites. Today: Cohere Command and Anthropic Messages; any
//! other family is scripted with `chunk` steps or replayed from recordings.

use serde_json::{Value, json};

use crate::{
    script::{Script, Step},
    whole,
};

/// Rewrites a Converse answer for the family that the model id names, or says that there is none.
pub(crate) fn script(model_id: &str, converse: Script) -> Result<Script, String> {
    let texts = texts(&converse);
    let chunks = if model_id.contains("cohere.command-text") || model_id.contains("cohere.command-light") {
        cohere(&texts)
    } else if model_id.contains("anthropic.") {
        anthropic(&texts)
    } else {
        return Err(format!(
            "The emulator does not speak the native format of {model_id}. It speaks those of cohere.command-text, \
             cohere.command-light and anthropic.*; for another, use a script with `chunk` steps."
        ));
    };
    Ok(Script { steps: chunks.into_iter().map(Step::Chunk).collect(), ..converse })
}

/// The answer of the non-streaming operation: the last chunk with all the text.
pub(crate) fn whole(script: &Script) -> Value {
    let events = whole::events(script);
    let text: String = events
        .iter()
        .filter_map(|(_, chunk)| chunk["text"].as_str().or_else(|| chunk["delta"]["text"].as_str()))
        .collect();
    if events.iter().any(|(_, chunk)| chunk["type"] == "message_start") {
        return json!({
            "id": "msg_emulated", "type": "message", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": text}],
        });
    }
    json!({"id": "emulated", "generations": [{"id": "emulated-0", "text": text, "finish_reason": "COMPLETE"}]})
}

fn texts(converse: &Script) -> Vec<String> {
    whole::events(converse)
        .iter()
        .filter_map(|(_, payload)| payload["delta"]["text"].as_str().map(str::to_owned))
        .collect()
}

fn metrics(texts: &[String]) -> Value {
    json!({"inputTokenCount": 1, "outputTokenCount": texts.len(), "invocationLatency": 500, "firstByteLatency": 350})
}

fn cohere(texts: &[String]) -> Vec<Value> {
    let mut chunks: Vec<_> = texts.iter().map(|text| json!({"is_finished": false, "text": text})).collect();
    chunks.push(json!({
        "finish_reason": "COMPLETE", "is_finished": true, "amazon-bedrock-invocationMetrics": metrics(texts),
    }));
    chunks
}

fn anthropic(texts: &[String]) -> Vec<Value> {
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
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics(texts)}),
    ]);
    chunks
}
