//! One script in every family's format, streamed and whole.

use serde_json::{Value, json};

use super::*;
use crate::{fold, playback, script::Step, whole as playing};

const FORMATS: [Format; 11] = [
    Format::Anthropic,
    Format::AnthropicText,
    Format::Nova,
    Format::Titan,
    Format::Cohere,
    Format::CommandR,
    Format::Llama,
    Format::Mistral,
    Format::Jurassic,
    Format::Chat,
    Format::ChatText,
];

fn chunks(format: Format, script: &Script) -> Vec<Value> {
    let mut translator = Translator::new(format, script);
    let steps = playback::expand(script.steps.clone()).flat_map(|step| translator.step(step));
    let chunk = |step| if let Step::Chunk(chunk) = step { chunk } else { panic!("{format:?} sends {step:?}") };
    steps.map(chunk).collect()
}

fn whole_of(format: Format, script: &Script) -> Value {
    whole(format, &fold::converse(&playing::tell(script).events))
}

#[test]
fn the_chunks_of_every_format_are_its_own_and_tell_the_script() {
    let script = Script::of(reply::steps("one two three", 7));
    for format in FORMATS {
        let told = chunks(format, &script).into_iter().map(|chunk| ("chunk".to_owned(), chunk)).collect();
        let (told, found) = events(told);
        assert_eq!(found, Some(format));
        let answer = fold::converse(&told);
        assert_eq!(answer["output"]["message"]["content"], json!([{"text": "one two three"}]), "{format:?}");
        assert_eq!(answer["usage"], json!({"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}), "{format:?}");
        assert!(["end_turn", "stop_sequence"].contains(&answer["stopReason"].as_str().unwrap()), "{format:?}");
    }
}

#[test]
fn the_tokens_of_the_prompt_cache_are_told() {
    let usage = TokenUsage { input: 7, output: 3, cache_read: 40, cache_write: 5 };
    let script = Script::reply_with("one two three", usage);
    for format in FORMATS {
        let told = chunks(format, &script).into_iter().map(|chunk| ("chunk".to_owned(), chunk)).collect();
        assert_eq!(fold::converse(&events(told).0)["usage"], usage.json(), "{format:?}");
    }
    let anthropic =
        json!({"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 5});
    assert_eq!(whole_of(Format::Anthropic, &script)["usage"], anthropic);
    let start = &chunks(Format::Anthropic, &script)[0]["message"]["usage"];
    assert_eq!((&start["cache_read_input_tokens"], &start["output_tokens"]), (&json!(40), &json!(1)));
    let nova = whole_of(Format::Nova, &script)["usage"].clone();
    assert_eq!((&nova["cacheReadInputTokenCount"], &nova["cacheWriteInputTokenCount"]), (&json!(40), &json!(5)));
    let metadata = chunks(Format::Nova, &script).into_iter().find_map(|chunk| chunk.get("metadata").cloned()).unwrap();
    assert_eq!(metadata["usage"]["cacheReadInputTokenCount"], 40);
}

#[test]
fn the_whole_answer_of_every_format_is_its_own() {
    let script = Script::of(reply::steps("one two", 7));
    let expected = [
        (Format::Anthropic, "/content/0/text", "/stop_reason", "end_turn"),
        (Format::AnthropicText, "/completion", "/stop_reason", "stop_sequence"),
        (Format::Nova, "/output/message/content/0/text", "/stopReason", "end_turn"),
        (Format::Titan, "/results/0/outputText", "/results/0/completionReason", "FINISH"),
        (Format::Cohere, "/generations/0/text", "/generations/0/finish_reason", "COMPLETE"),
        (Format::CommandR, "/text", "/finish_reason", "COMPLETE"),
        (Format::Llama, "/generation", "/stop_reason", "stop"),
        (Format::Mistral, "/outputs/0/text", "/outputs/0/stop_reason", "stop"),
        (Format::Jurassic, "/completions/0/data/text", "/completions/0/finishReason/reason", "endoftext"),
        (Format::Chat, "/choices/0/message/content", "/choices/0/finish_reason", "stop"),
        (Format::ChatText, "/choices/0/text", "/choices/0/stop_reason", "stop"),
    ];
    assert_eq!(expected.len(), FORMATS.len());
    for (format, text, stop, reason) in expected {
        let answer = whole_of(format, &script);
        assert_eq!(answer.pointer(text), Some(&json!("one two")), "{format:?}: {answer}");
        assert_eq!(answer.pointer(stop), Some(&json!(reason)), "{format:?}: {answer}");
    }
}

#[test]
fn tools_and_reasoning_are_told_where_the_format_has_them() {
    let crate::catalogue::Entry::Script(tools) = crate::catalogue::Catalogue::new().entry("emulator.tools") else {
        panic!("there is no script")
    };
    let input = json!({"city": "Paris"});
    let answer = whole_of(Format::Anthropic, &tools);
    let call = json!({"type": "tool_use", "id": "tooluse_emulated1", "name": "get_weather", "input": input});
    assert_eq!((&answer["content"][1], &answer["stop_reason"]), (&call, &json!("tool_use")));
    let answer = whole_of(Format::Chat, &tools);
    let function = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(*function, json!({"name": "get_weather", "arguments": input.to_string()}));
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let streamed = chunks(Format::Anthropic, &tools).into_iter().map(|chunk| ("chunk".to_owned(), chunk)).collect();
    let again = whole(Format::Anthropic, &fold::converse(&events(streamed).0));
    assert_eq!(again, whole_of(Format::Anthropic, &tools));
    let arguments: String = chunks(Format::Chat, &tools)
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0/function/arguments")?.as_str())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), input);
    let calls = chunks(Format::CommandR, &tools);
    let call = calls.iter().find_map(|chunk| chunk.get("tool_calls")).unwrap();
    assert_eq!(*call, json!([{"name": "get_weather", "parameters": input}]));
}

#[test]
fn the_format_is_that_of_the_model_or_of_the_body() {
    let of = |model: &str, body: Value| Format::of(model, &body);
    assert_eq!(of("amazon.nova-lite-v1:0", json!({})), Some(Format::Nova));
    assert_eq!(of("emulator.tools", json!({"anthropic_version": "x"})), Some(Format::Anthropic));
    assert_eq!(of("mistral.ministral-3-8b-instruct", json!({"messages": []})), Some(Format::Chat));
    assert_eq!(of("mistral.mistral-7b-instruct-v0:2", json!({"prompt": "hi"})), Some(Format::Mistral));
    assert_eq!(of("emulator.tools", json!({})), None);
}
