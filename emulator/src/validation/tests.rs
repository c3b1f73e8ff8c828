//! Each rule of Bedrock has its message, and a correct conversation has none.

use serde_json::json;

use super::*;
use crate::{
    routes::Shared,
    served::{Served, all, json_of},
};

fn user(content: &Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn uses(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"toolUse": {"toolUseId": id, "name": "look", "input": {}}})).collect()
}

fn results(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"toolResult": {"toolUseId": id, "content": [{"text": ""}]}})).collect()
}

/// The message about a conversation with a tool.
fn refused(messages: &[Value]) -> Option<String> {
    let tools = json!([{"toolSpec": {"name": "look", "inputSchema": {"json": {}}}}]);
    check(Operation::Converse, &json!({"messages": messages, "toolConfig": {"tools": tools}})).err()
}

#[test]
fn a_conversation_has_rules() {
    let hi = || user(&json!([{"text": "hi"}]));
    let yes = || assistant(&json!([{"text": "yes"}]));
    assert_eq!(refused(&[hi(), yes(), hi()]), None);
    assert_eq!(refused(&[hi(), assistant(&uses(&["a", "b"])), user(&results(&["b", "a"])), yes(), hi()]), None);
    for (messages, expected) in [
        (vec![yes()], "must start with a user message"),
        (vec![hi(), hi()], "must alternate between user and assistant roles"),
        (vec![hi(), yes(), user(&json!([]))], "The content field in the Message object at messages.2 is empty"),
        (vec![user(&json!([{"text": "x"}, {"text": " \n"}]))], "at messages.0.content.1 is blank. Add text"),
        (vec![user(&json!([{"document": {}}]))], "A text block must be included when using documents."),
        (
            vec![hi(), assistant(&uses(&["a", "b"])), user(&results(&["a"]))],
            "Expected toolResult blocks at messages.2.content for the following Ids: b",
        ),
        (vec![hi(), assistant(&uses(&["a"])), hi()], "Expected toolResult blocks at messages.2.content"),
        (
            vec![hi(), yes(), user(&results(&["a"]))],
            "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.",
        ),
    ] {
        let message = refused(&messages).unwrap_or_default();
        assert!(message.contains(expected), "{messages:?}: {message}");
    }
    let without = check(
        Operation::ConverseStream,
        &json!({"messages": [hi(), assistant(&uses(&["a"])), user(&results(&["a"]))]}),
    );
    assert!(without.unwrap_err().starts_with("The toolConfig field must be defined"));
}

#[test]
fn all_constraints_are_told_at_once() {
    let tool = |name: &str, description: &str| json!({"toolSpec": {"name": name, "description": description}});
    let body = json!({
        "messages": [{"role": "system", "content": [{"text": "x"}]}],
        "inferenceConfig": {"temperature": 1.5, "topP": -0.5, "maxTokens": 0},
        "toolConfig": {"tools": [tool("fine", "d"), tool("not fine", "d"), tool("", ""), tool(&"x".repeat(65), "d")]},
    });
    let message = check(Operation::Converse, &body).unwrap_err();
    assert!(message.starts_with("9 validation errors detected: "), "{message}");
    for part in [
        "Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
        "Value '-0.5' at 'inferenceConfig.topP' failed to satisfy constraint: Member must have value greater than or equal to 0",
        "Value '0' at 'inferenceConfig.maxTokens'",
        "Value 'not fine' at 'toolConfig.tools.2.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_-]+",
        "Value '' at 'toolConfig.tools.3.member.toolSpec.description'",
        "at 'toolConfig.tools.4.member.toolSpec.name' failed to satisfy constraint: Member must have length less than or equal to 64",
        "Value 'system' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant]",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let empty = check(Operation::Converse, &json!({"messages": [], "toolConfig": {"tools": []}})).unwrap_err();
    assert_eq!(
        empty,
        "1 validation error detected: Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater \
         than or equal to 1"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_are_validated_on_request() {
    let body = json!({"messages": [user(&json!([{"text": " "}]))]});
    let strict = Served::of(Shared { validate: true, ..Shared::default() });
    for model in ["a.model", "emulator.tools"] {
        let refused = strict.operate("converse-stream", model, "", &body).await;
        assert_eq!(refused.status(), 400);
        assert!(json_of(refused).await["message"].as_str().unwrap().contains("is blank"));
        all(Served::new().operate("converse", model, "", &body).await).await;
    }
    let native = json!({"anthropic_version": "x", "messages": []});
    let refused = json_of(strict.operate("invoke", "anthropic.claude-v2", "", &native).await).await;
    assert!(refused["message"].as_str().unwrap().contains("required key [max_tokens] not found"));
    let counted = json!({"input": {"converse": body}});
    assert_eq!(strict.operate("count-tokens", "a.model", "", &counted).await.status(), 200);
}
