//! What a family lacks in its own format is refused by the name of its field.

use outcrop::request::{FEATURES, Feature};
use serde_json::{Value, json as value};

use super::*;
use crate::harness::Harness;

fn content(block: impl Into<Value>) -> Value {
    value!({"messages": [{"role": "ROLE_USER", "content": [block.into(), {"text": "and?"}]}]})
}

#[tokio::test]
async fn what_a_family_lacks_is_refused_by_name() {
    let harness = Harness::start().await;
    let fields = [
        (Feature::System, "system", value!({"system": [{"text": "x"}]})),
        (Feature::TopP, "inference_config.top_p", value!({"inferenceConfig": {"maxTokens": 5, "topP": 0.5}})),
        (
            Feature::StopSequences,
            "inference_config.stop_sequences",
            value!({"inferenceConfig": {"maxTokens": 5, "stopSequences": ["x"]}}),
        ),
        (
            Feature::Tools,
            "tool_config",
            value!({"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}}),
        ),
        (
            Feature::Images,
            "messages[0].content[0].image",
            content(value!({"image": {"format": "png", "source": {"bytes": "AAEC"}}})),
        ),
        (
            Feature::Documents,
            "messages[0].content[0].document",
            content(value!({"document": {"format": "txt", "name": "d", "source": {"bytes": "AAEC"}}})),
        ),
        (
            Feature::Reasoning,
            "messages[0].content[0].reasoning_content",
            content(value!({"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}})),
        ),
        (
            Feature::CachePoints,
            "messages[0].content[0].cache_point",
            content(value!({"cachePoint": {"type": "default"}})),
        ),
    ];
    for row in FEATURES {
        let model = MODELS.iter().find(|(family, _)| *family == row.family.name()).unwrap().1;
        for (feature, field, more) in &fields {
            let mut more = more.clone();
            more["prompt"] = "hi".into();
            let outcome = harness.ask(native(model, more)).await;
            if row.features.contains(feature) {
                outcome.whole();
            } else {
                let (_, error) = outcome.failed();
                assert_eq!(error.violations[0].field, *field, "{model}: {error}");
                assert!(error.message.contains(row.family.name()), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn what_would_have_to_be_left_out_of_a_block_is_refused_too() {
    let harness = Harness::start().await;
    let tools = |tool: Value| value!({"prompt": "hi", "toolConfig": {"tools": [tool]}});
    let result = |inner: Value| content(value!({"toolResult": {"toolUseId": "t", "content": [inner]}}));
    let bytes = value!({"bytes": "AAEC"});
    let block = "messages[0].content[0]";
    let cases = [
        (
            "anthropic.claude-x",
            content(value!({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}})),
            format!("{block}.image.source.s3_location"),
        ),
        (
            "anthropic.claude-x",
            content(value!({"document": {"format": "docx", "name": "d", "source": bytes}})),
            format!("{block}.document.format"),
        ),
        (
            "anthropic.claude-x",
            tools(value!({"systemTool": {"name": "look"}})),
            "tool_config.tools[0].system_tool".into(),
        ),
        (
            "anthropic.claude-x",
            result(value!({"video": {"format": "mp4", "source": bytes}})),
            format!("{block}.tool_result.content[0].video"),
        ),
        (
            "amazon.nova-lite-v1:0",
            content(value!({"cachePoint": {"type": "default", "ttl": "1h"}})),
            format!("{block}.cache_point.ttl"),
        ),
        (
            "amazon.nova-lite-v1:0",
            content(value!({"document": {"format": "txt", "name": "d", "context": "c", "source": bytes}})),
            format!("{block}.document.context"),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            result(value!({"image": {"format": "png", "source": bytes}})),
            format!("{block}.tool_result.content[0].image"),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            tools(value!({"toolSpec": {"name": "t", "strict": true, "inputSchema": {"json": {}}}})),
            "tool_config.tools[0].tool_spec.strict".into(),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            value!({"prompt": "hi", "guardrailConfig": {"streamProcessingMode": "async"}}),
            "guardrail_config.stream_processing_mode".into(),
        ),
    ];
    for (model, more, field) in cases {
        let (_, error) = harness.ask(native(model, more)).await.failed();
        assert_eq!(error.violations[0].field, field, "{error}");
    }
}

#[tokio::test]
async fn what_a_family_lacks_comes_with_all_other_violations() {
    let harness = Harness::start().await;
    let more = value!({"prompt": " ", "system": [{"text": "s"}], "inferenceConfig": {"maxTokens": 0}});
    let (_, error) = harness.ask(native("cohere.command-text-v14", more)).await.failed();
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["prompt", "inference_config.max_tokens", "system"]);
}
