//! The JSON of tools as text: to Bedrock and from it, with numbers that no double holds.

use bedrock_emulator::{Script, Step};
use outcrop_client::{
    Client, json,
    proto::{ContentBlock, GenerateRequest, Message, Role, chunk::Event, tool_result_block_delta::Delta},
};
use serde_json::{Value, json as value};

use crate::harness::{Harness, soon};

/// Whole numbers that are no doubles.
const EXACT: &str =
    r#"{"odd": 9007199254740993, "most": 18446744073709551615, "least": -9223372036854775808, "part": 0.5}"#;

/// A request in which a tool is defined, asked for and answered with JSON text.
fn request(model: &str) -> GenerateRequest {
    let request = value!({
        "model": model,
        "inferenceConfig": {"maxTokens": 9},
        "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"jsonText": EXACT}}}]},
        "messages": [
            {"role": "ROLE_USER", "content": [{"text": "hi"}]},
            {"role": "ROLE_ASSISTANT", "content": [{"toolUse": {"toolUseId": "i", "name": "look", "inputJson": EXACT}}]},
            {"role": "ROLE_USER", "content": [{"toolResult": {"toolUseId": "i", "content": [{"jsonText": EXACT}]}}]},
        ],
    });
    json::read("outcrop.v1.GenerateRequest", &request.to_string()).unwrap()
}

async fn body_of(harness: &Harness, request: GenerateRequest) -> Value {
    // Only the request is of interest: a native answer has another format than the emulator's default.
    let _ = harness.ask(request).await;
    harness.emulator.last_request().unwrap().body
}

#[tokio::test]
async fn json_text_reaches_bedrock_with_every_digit() {
    let harness = Harness::start().await;
    let exact: Value = serde_json::from_str(EXACT).unwrap();
    let body = body_of(&harness, request("a.model")).await;
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], exact);
    assert_eq!(body["messages"][1]["content"][0]["toolUse"]["input"], exact);
    assert_eq!(body["messages"][2]["content"][0]["toolResult"]["content"][0]["json"], exact);

    let native = |model: &str| {
        let mut request = request(model);
        request.set_operation(outcrop_client::proto::OperationChoice::Native);
        request
    };
    let parsed = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    let body = body_of(&harness, native("anthropic.claude-x")).await;
    assert_eq!(body["tools"][0]["input_schema"], exact);
    assert_eq!(body["messages"][1]["content"][0]["input"], exact);
    assert_eq!(parsed(&body["messages"][2]["content"][0]["content"][0]["text"]), exact);
    let body = body_of(&harness, native("amazon.nova-lite-v1:0")).await;
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], exact);
    assert_eq!(body["messages"][1]["content"][0]["toolUse"]["input"], exact);
    assert_eq!(body["messages"][2]["content"][0]["toolResult"]["content"][0]["json"], exact);
    for model in ["qwen.qwen3-32b-v1:0", "mistral.mistral-large-2407-v1:0", "ai21.jamba-1-5-mini-v1:0"] {
        let body = body_of(&harness, native(model)).await;
        assert_eq!(body["tools"][0]["function"]["parameters"], exact, "{model}");
        assert_eq!(parsed(&body["messages"][1]["tool_calls"][0]["function"]["arguments"]), exact, "{model}");
        assert_eq!(parsed(&body["messages"][2]["content"]), exact, "{model}");
    }
}

#[tokio::test]
async fn json_text_that_cannot_be_used_is_refused_with_its_field_and_its_place() {
    let harness = Harness::start().await;
    let deep = "[".repeat(31) + &"]".repeat(31);
    let tool_use = |more: Value| {
        let mut tool = value!({"toolUseId": "i", "name": "look"});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value!({"toolUse": tool})
    };
    let result = |text: &str| value!({"toolResult": {"toolUseId": "i", "content": [{"jsonText": text}]}});
    for (block, field, said) in [
        (tool_use(value!({"input": {}, "inputJson": "{}"})), "tool_use.input_json", "Set one of them"),
        (tool_use(value!({"inputJson": "{\"a\": }"})), "tool_use.input_json", "line 1 column 7"),
        (tool_use(value!({"inputJson": deep})), "tool_use.input_json", "has 31 levels"),
        (tool_use(value!({"inputJson": "[18446744073709551616]"})), "tool_use.input_json", "at byte 1"),
        (tool_use(value!({})), "tool_use.input", "is not set"),
        (result(""), "tool_result.content[0].json_text", "is not JSON"),
        (result(&deep), "tool_result.content[0].json_text", "has 31 levels"),
    ] {
        let asked = value!({"model": "a.model", "messages": [{"role": "ROLE_USER", "content": [block]}]});
        let request = json::read("outcrop.v1.GenerateRequest", &asked.to_string()).unwrap();
        let (_, error) = harness.ask(request).await.failed();
        let violation = &error.violations[0];
        assert_eq!(violation.field, format!("messages[0].content[0].{field}"), "{error}");
        assert!(violation.description.contains(said), "{error}");
    }
    for (schema, said) in [("[]", "is not a JSON object"), ("{", "line 1 column 1"), (deep.as_str(), "has 31 levels")] {
        let mut request = request("a.model");
        let tool = value!({"toolSpec": {"name": "look", "inputSchema": {"jsonText": schema}}});
        let tools = value!({"tools": [tool]});
        request.tool_config = Some(json::read("outcrop.v1.ToolConfiguration", &tools.to_string()).unwrap());
        let (_, error) = harness.ask(request).await.failed();
        assert_eq!(error.violations[0].field, "tool_config.tools[0].tool_spec.input_schema.json_text");
        assert!(error.violations[0].description.contains(said), "{error}");
    }
    let unknown = GenerateRequest { json_form: 9, prompt: "hi".into(), ..request("a.model") };
    let (_, error) = harness.ask(unknown).await.failed();
    assert_eq!(error.violations[0].field, "json_form");
}

/// A tool that Bedrock carries out, with its result, and a tool that the caller carries out.
fn answered() -> Script {
    let exact: Value = serde_json::from_str(EXACT).unwrap();
    let start = |index: u32, start: Value| {
        Step::event("contentBlockStart", value!({"contentBlockIndex": index, "start": start}))
    };
    let (first, second) = EXACT.split_at(20);
    Script::of([
        Step::message_start(),
        start(0, value!({"toolResult": {"toolUseId": "s", "type": "t", "status": "success"}})),
        Step::delta(0, value!({"toolResult": [{"json": exact}]})),
        Step::block_stop(0),
        start(1, value!({"toolUse": {"toolUseId": "i", "name": "look"}})),
        Step::delta(1, value!({"toolUse": {"input": first}})),
        Step::delta(1, value!({"toolUse": {"input": second}})),
        Step::block_stop(1),
        Step::message_stop("tool_use"),
        Step::metadata(1, 2),
    ])
}

async fn result_of(client: &Client, request: GenerateRequest) -> Delta {
    let mut chunks = soon(client.generate(request)).await.unwrap();
    while let Some(chunk) = soon(chunks.next()).await.unwrap() {
        if let Some(Event::ToolResult(result)) = chunk.event {
            return result.content[0].delta.clone().unwrap();
        }
    }
    panic!("there is no result")
}

#[tokio::test]
async fn a_caller_who_asks_for_text_gets_results_with_every_digit() {
    let harness = Harness::start().await;
    let model = harness.emulator.register("answered", answered());
    let asked = |form: &str| {
        let request = value!({"model": model, "prompt": "hi", "jsonForm": form}).to_string();
        json::read::<GenerateRequest>("outcrop.v1.GenerateRequest", &request).unwrap()
    };
    let Delta::JsonText(text) = result_of(&harness.client, asked("JSON_FORM_TEXT")).await else { panic!("no text") };
    let exact: Value = serde_json::from_str(EXACT).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), exact);
    for form in ["JSON_FORM_VALUE", "JSON_FORM_UNSPECIFIED"] {
        assert!(matches!(result_of(&harness.client, asked(form)).await, Delta::Json(_)), "{form}");
    }
}

#[tokio::test]
async fn an_answer_goes_back_with_every_digit() {
    let harness = Harness::start().await;
    let model = harness.emulator.register("answered", answered());
    let first: GenerateRequest = json::read(
        "outcrop.v1.GenerateRequest",
        &value!({"model": model, "prompt": "hi", "jsonForm": "JSON_FORM_TEXT"}).to_string(),
    )
    .unwrap();
    let answer = soon(soon(harness.client.generate(first)).await.unwrap().answer()).await.unwrap();
    let result = value!({"toolResult": {"toolUseId": "i", "content": [{"text": "done"}]}}).to_string();
    let result: ContentBlock = json::read("outcrop.v1.ContentBlock", &result).unwrap();
    let asked = Message { role: Role::User.into(), content: vec![result] };
    let user: ContentBlock = json::read("outcrop.v1.ContentBlock", r#"{"text": "hi"}"#).unwrap();
    let user = Message { role: Role::User.into(), content: vec![user] };
    let messages = vec![user, answer.message, asked];
    let body = body_of(&harness, GenerateRequest { model: "a.model".into(), messages, ..Default::default() }).await;
    let exact: Value = serde_json::from_str(EXACT).unwrap();
    assert_eq!(body["messages"][1]["content"][0]["toolResult"]["content"][0]["json"], exact);
    assert_eq!(body["messages"][1]["content"][1]["toolUse"]["input"], exact);
}
