//! The limits of ordinary models, on every operation.

use serde_json::{Value, json};

use crate::{
    frame,
    script::{Script, Step},
    served::{Served, all, json_of},
};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";

fn limited(config: impl Into<Value>) -> Value {
    let config = config.into();
    json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": config})
}

async fn converse(body: &Value) -> Value {
    json_of(Served::new().operate("converse", CLAUDE, "", body).await).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_at_most_the_maximum_of_tokens() {
    for most in [1, 2, 9] {
        let answer = converse(&limited(json!({"maxTokens": most}))).await;
        let text = answer["output"]["message"]["content"][0]["text"].as_str().unwrap();
        assert_eq!(text.split_whitespace().count(), most, "{text}");
        assert_eq!((&answer["stopReason"], &answer["usage"]["outputTokens"]), (&json!("max_tokens"), &json!(most)));
        assert_eq!(answer["usage"]["totalTokens"], json!(most + 1));
    }
    let whole = converse(&limited(json!({"maxTokens": 1_000}))).await;
    assert_eq!(whole["stopReason"], "end_turn");
    let streamed =
        all(Served::new().operate("converse-stream", CLAUDE, "", &limited(json!({"maxTokens": 2}))).await).await;
    let steps: Vec<_> = frame::split(streamed).into_iter().map(|bytes| frame::decode(bytes).unwrap()).collect();
    let texts =
        steps.iter().filter(|step| matches!(step, Step::Event { event_type, .. } if event_type == "contentBlockDelta"));
    assert_eq!(texts.count(), 2);
    assert!(steps.contains(&Step::message_stop("max_tokens")) && steps.contains(&Step::metadata(1, 2)), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_sequence_ends_an_answer_and_is_no_part_of_it() {
    let answer = converse(&limited(json!({"stopSequences": [", not", "emulator"], "maxTokens": 100}))).await;
    assert_eq!(answer["output"]["message"]["content"][0]["text"], "This is the Bedrock ");
    assert_eq!((&answer["stopReason"], &answer["usage"]["outputTokens"]), (&json!("stop_sequence"), &json!(5)));
    assert!(answer.get("additionalModelResponseFields").is_none());
    let mut asking = limited(json!({"stopSequences": ["emulator"]}));
    asking["additionalModelResponseFieldPaths"] = json!(["/stop_sequence"]);
    assert_eq!(converse(&asking).await["additionalModelResponseFields"], json!({"stop_sequence": "emulator"}));
    asking["additionalModelResponseFieldPaths"] = json!(["/delta/stop_sequence"]);
    let delta = json!({"delta": {"stop_sequence": "emulator"}});
    assert_eq!(converse(&asking).await["additionalModelResponseFields"], delta);
    // What comes first ends it.
    let early = converse(&limited(json!({"stopSequences": ["emulator"], "maxTokens": 2}))).await;
    assert_eq!(early["stopReason"], "max_tokens");
}

#[tokio::test(start_paused = true)]
async fn native_answers_have_the_limits_of_their_format() {
    let served = Served::new();
    let anthropic = |limit: Value| {
        let mut body = json!({"anthropic_version": "x", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
        body
    };
    let stopped = anthropic(json!({"stop_sequences": ["emulator"], "max_tokens": 100}));
    let answer = json_of(served.operate("invoke", CLAUDE, "", &stopped).await).await;
    assert_eq!((&answer["stop_reason"], &answer["stop_sequence"]), (&json!("stop_sequence"), &json!("emulator")));
    let streamed = all(served.operate("invoke-with-response-stream", CLAUDE, "", &stopped).await).await;
    let delta = json!({"stop_reason": "stop_sequence", "stop_sequence": "emulator"});
    let chunks = frame::split(streamed).into_iter().map(|bytes| frame::decode(bytes).unwrap());
    assert!(chunks.into_iter().any(|step| matches!(step, Step::Chunk(chunk) if chunk["delta"] == delta)));
    let whole = json_of(served.operate("invoke", CLAUDE, "", &anthropic(json!({"max_tokens": 100}))).await).await;
    assert_eq!((&whole["stop_reason"], &whole["stop_sequence"]), (&json!("end_turn"), &json!(null)));
    let cases = [
        (
            "amazon.titan-text-express-v1",
            json!({"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 3}}),
            "/results/0/completionReason",
            "LENGTH",
        ),
        (
            "cohere.command-text-v14",
            json!({"prompt": "hi", "max_tokens": 3}),
            "/generations/0/finish_reason",
            "MAX_TOKENS",
        ),
        ("meta.llama3-8b-instruct-v1:0", json!({"prompt": "hi", "max_gen_len": 3}), "/stop_reason", "length"),
        (
            "mistral.mistral-7b-instruct-v0:2",
            json!({"prompt": "hi", "max_tokens": 3}),
            "/outputs/0/stop_reason",
            "length",
        ),
        ("ai21.j2-ultra-v1", json!({"prompt": "hi", "maxTokens": 3}), "/completions/0/finishReason/reason", "length"),
        (
            "openai.gpt-oss-20b-1:0",
            json!({"messages": [], "max_completion_tokens": 3}),
            "/choices/0/finish_reason",
            "length",
        ),
        ("amazon.nova-lite-v1:0", limited(json!({"max_new_tokens": 3})), "/stopReason", "max_tokens"),
    ];
    for (model, body, place, reason) in cases {
        let answer = json_of(served.operate("invoke", model, "", &body).await).await;
        assert_eq!(answer.pointer(place), Some(&json!(reason)), "{model}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_call_of_a_tool_is_cut_at_the_maximum_too() {
    let schema =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"const": "a city with a long name"}}});
    let tools = json!([{"toolSpec": {"name": "look", "inputSchema": {"json": schema}}}]);
    let mut body = limited(json!({"maxTokens": 2}));
    body["toolConfig"] = json!({"tools": tools, "toolChoice": {"any": {}}});
    let answer = converse(&body).await;
    assert_eq!(answer["stopReason"], "max_tokens");
    let input = &answer["output"]["message"]["content"][0]["toolUse"]["input"];
    assert_eq!(*input, json!("{\"city\":\"a city with a l"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_script_that_refuses_is_told_once_like_any_other() {
    let refuse = || Script::refuse(503, "ServiceUnavailableException", "later");
    let after_a_tool = Script { on_tool_result: Some(Box::new(refuse())), ..Script::reply("first") };
    let result = json!({"toolResult": {"toolUseId": "1", "content": []}});
    let after = json!({"messages": [{"role": "user", "content": [result]}]});
    for (first, body) in [(refuse(), limited(json!({}))), (after_a_tool, after)] {
        let served = Served::new();
        served.shared.catalogue.register("emulator.two".into(), [first, Script::reply("second")]);
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(served.operate("converse", "emulator.two", "", &body).await.status().as_u16());
        }
        assert_eq!(statuses, [503, 200], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_loop_ends_on_every_operation() {
    let served = Served::new();
    let named = |model: &str| format!("arn:aws:bedrock:us-east-1:1:inference-profile%2F{model}");
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Paris"]}}});
    let user = |content: Value| json!({"role": "user", "content": content});
    for model in ["emulator.tools", "emulator.call", &named("emulator.call"), CLAUDE] {
        let words = if model == CLAUDE { "weather? [emulator.call]" } else { "weather?" };
        let tools = json!([{"toolSpec": {"name": "get_weather", "inputSchema": {"json": schema}}}]);
        let mut messages = vec![user(json!([{"text": words}]))];
        let body = |messages: &[Value]| json!({"messages": messages, "toolConfig": {"tools": tools}});
        let first = json_of(served.operate("converse", model, "", &body(&messages)).await).await;
        assert_eq!(first["stopReason"], "tool_use", "{model}: {first}");
        let said = &first["output"]["message"];
        let call = said["content"].as_array().unwrap().iter().find_map(|block| block.get("toolUse")).unwrap();
        assert_eq!(call["input"], json!({"city": "Paris"}));
        let result = json!([{"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "sunny"}]}}]);
        messages.extend([said.clone(), user(result)]);
        let last = json_of(served.operate("converse", model, "", &body(&messages)).await).await;
        assert_eq!(last["stopReason"], "end_turn", "{model}: {last}");
        let native_tools = json!([{"name": "get_weather", "input_schema": schema}]);
        let mut messages = vec![user(json!(words))];
        let body = |messages: &[Value]| json!({"anthropic_version": "x", "max_tokens": 99, "messages": messages, "tools": native_tools});
        let first = json_of(served.operate("invoke", model, "", &body(&messages)).await).await;
        assert_eq!(first["stop_reason"], "tool_use", "{model}: {first}");
        let call = first["content"].as_array().unwrap().last().unwrap();
        let result = json!([{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}]);
        messages.extend([json!({"role": "assistant", "content": first["content"]}), user(result)]);
        let last = json_of(served.operate("invoke", model, "", &body(&messages)).await).await;
        assert_eq!(last["stop_reason"], "end_turn", "{model}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_maximum_of_nothing_is_refused_as_bedrock_does() {
    let answer = converse(&limited(json!({"maxTokens": 0}))).await;
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("at 'inferenceConfig.maxTokens' failed to satisfy constraint"), "{message}");
}
