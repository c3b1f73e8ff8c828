//! The body that reaches Bedrock in each family's own format is the one that its provider documents.

use bedrock_emulator::{Script, Step};
use outcrop_client::proto::StopReason;
use serde_json::{Value, json as value};

use super::*;
use crate::harness::Harness;

/// The body of a conversation of three turns, by each provider's documentation.
fn documented(family: &str) -> Value {
    let turns = value!([
        {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"},
    ]);
    let blocks = |block: fn(&str) -> Value| {
        value!([
            {"role": "user", "content": [block("A")]}, {"role": "assistant", "content": [block("B")]},
            {"role": "user", "content": [block("C")]},
        ])
    };
    let prompt = |text: &str, max_tokens: &str| value!({"prompt": text, max_tokens: 50, "temperature": 0.01});
    match family {
        "anthropic" => value!({
            "anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "temperature": 0.01,
            "messages": blocks(|text| value!({"type": "text", "text": text})),
        }),
        "anthropic-text" => prompt("\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant:", "max_tokens_to_sample"),
        "nova" => value!({
            "schemaVersion": "messages-v1", "messages": blocks(|text| value!({"text": text})),
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.01},
        }),
        "titan" => value!({
            "inputText": "User: A\nBot: B\nUser: C\nBot:",
            "textGenerationConfig": {"maxTokenCount": 50, "temperature": 0.01},
        }),
        "cohere-command" => value!({
            "prompt": "User: A\nChatbot: B\nUser: C\nChatbot:", "stream": true, "max_tokens": 50, "temperature": 0.01,
        }),
        "cohere-command-r" => value!({
            "message": "C", "max_tokens": 50, "temperature": 0.01,
            "chat_history": [{"role": "USER", "message": "A"}, {"role": "CHATBOT", "message": "B"}],
        }),
        "llama2" => prompt("<s>[INST] A [/INST] B </s><s>[INST] C [/INST]", "max_gen_len"),
        "llama3" => prompt(&headed(("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")), "max_gen_len"),
        "llama4" => prompt(&headed(("<|header_start|>", "<|header_end|>", "<|eot|>")), "max_gen_len"),
        "mistral" => prompt("<s>[INST] A [/INST] B</s>[INST] C [/INST]", "max_tokens"),
        "jurassic2" => prompt("User: A\nAssistant: B\nUser: C\nAssistant:", "maxTokens"),
        "deepseek-r1" => prompt(
            "<｜begin▁of▁sentence｜><｜User｜>A<｜Assistant｜>B<｜end▁of▁sentence｜><｜User｜>C<｜Assistant｜><think>\n",
            "max_tokens",
        ),
        "openai" => {
            value!({"messages": turns, "stream": true, "max_completion_tokens": 50, "temperature": 0.01})
        }
        _ => value!({"messages": turns, "max_tokens": 50, "temperature": 0.01}),
    }
}

/// The conversation in the template of Llama 3 or 4.
fn headed((start, end, over): (&str, &str, &str)) -> String {
    format!(
        "<|begin_of_text|>{start}user{end}\n\nA{over}{start}assistant{end}\n\nB{over}{start}user{end}\n\nC{over}\
         {start}assistant{end}\n\n"
    )
}

#[tokio::test]
async fn each_familys_body_is_what_its_provider_documents() {
    let harness = Harness::start().await;
    let conversation = value!({
        "messages": [
            {"role": "ROLE_USER", "content": [{"text": "A"}]},
            {"role": "ROLE_ASSISTANT", "content": [{"text": "B"}]},
            {"role": "ROLE_USER", "content": [{"text": "C"}]},
        ],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.01},
    });
    for (family, model) in MODELS {
        let body = body_of(&harness, native(model, conversation.clone())).await;
        assert_eq!(body, documented(family), "{family}");
    }
}

#[tokio::test]
async fn tools_reach_the_families_that_have_them_and_their_calls_come_back() {
    let harness = Harness::start().await;
    let tools = value!({"prompt": "hi", "toolConfig": {
        "tools": [{"toolSpec": {"name": "look", "description": "d", "inputSchema": {"json": {"type": "object", "maxProperties": 3}}}}],
        "toolChoice": {"tool": {"name": "look"}},
    }});
    let schema = value!({"type": "object", "maxProperties": 3});
    let body = body_of(&harness, native("anthropic.claude-x", tools.clone())).await;
    assert_eq!(body["tools"], value!([{"name": "look", "description": "d", "input_schema": schema}]));
    assert_eq!(body["tool_choice"], value!({"type": "tool", "name": "look"}));
    let body = body_of(&harness, native("amazon.nova-lite-v1:0", tools.clone())).await;
    let spec = value!({"name": "look", "description": "d", "inputSchema": {"json": schema}});
    assert_eq!(body["toolConfig"], value!({"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": "look"}}}));
    let body = body_of(&harness, native("qwen.qwen3-32b-v1:0", tools)).await;
    let function = value!({"name": "look", "description": "d", "parameters": schema});
    assert_eq!(body["tools"], value!([{"type": "function", "function": function}]));

    let call = |call: Value| {
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]}))
    };
    let script = Script::of([
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {"reasoning_content": "hm", "content": null}}]})),
        call(value!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}})),
        call(value!({"index": 0, "function": {"arguments": "{\"a\": 1}"}})),
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})),
    ]);
    let model = harness.emulator.register("chat-tools", script);
    let request = native(&model, value!({"prompt": "hi", "modelFamily": "qwen"}));
    let answer = harness.client.generate(request).await.unwrap().answer().await.unwrap();
    let tool = answer.tool_uses().next().unwrap();
    assert_eq!((tool.tool_use_id.as_str(), tool.name.as_str()), ("call_1", "look"));
    assert_eq!(answer.finish.stop_reason(), StopReason::ToolUse);
    assert!(answer.finish.usage.is_none(), "usage is never invented");
}

#[tokio::test]
async fn the_labs_parameters_reach_the_body_exactly() {
    let harness = Harness::start().await;
    let request = native(
        "cohere.command-text-v14",
        value!({
            "prompt": "Write a story about two cats that go on an adventure:",
            "inferenceConfig": {"maxTokens": 4000, "temperature": 0, "topP": 0.01},
            "additionalModelRequestFields": {"k": 0, "stop_sequences": [], "return_likelihoods": "NONE"},
        }),
    );
    let lab = r#"{"prompt": "Write a story about two cats that go on an adventure:", "max_tokens": 4000, "temperature": 0,
                  "p": 0.01, "k": 0, "stop_sequences": [], "return_likelihoods": "NONE", "stream": true}"#;
    assert_eq!(body_of(&harness, request).await, serde_json::from_str::<Value>(lab).unwrap());
}
