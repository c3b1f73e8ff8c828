//! The built-in scripts: each kind of event, and each fault.

use serde_json::{Value, json};

use crate::script::{At, FaultKind, Script, Step};

/// The built-in scripts.
pub(super) fn scripts() -> Vec<(&'static str, Script)> {
    let three = || vec![Step::message_start(), Step::text("One"), Step::text(" two"), Step::text(" three")];
    let then = |step: Step| Script { steps: [three(), vec![step]].concat(), ..Script::default() };
    let whole = || Script::reply("One two three four five");
    vec![
        (
            "refuse-throttle",
            Script::refuse(429, "ThrottlingException", "Too many requests, please wait before trying again."),
        ),
        (
            "refuse-access",
            Script::refuse(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ),
        ),
        (
            "throttle-first",
            Script::of([Step::exception("throttlingException", "Too many tokens, please wait before trying again.")]),
        ),
        ("exception", then(Step::exception("modelStreamErrorException", "The model stopped unexpectedly."))),
        ("end", whole().fault(FaultKind::End, At::Event(4))),
        ("cut", whole().fault(FaultKind::Cut, At::Byte(400))),
        ("reset", whole().fault(FaultKind::Reset, At::Event(4))),
        ("stall", whole().fault(FaultKind::Stall, At::Event(4))),
        ("corrupt", whole().fault(FaultKind::Corrupt, At::Event(3))),
        ("oversized", whole().fault(FaultKind::Oversized, At::Event(3))),
        ("undersized", whole().fault(FaultKind::Undersized, At::Event(3))),
        ("slow", whole().pace(1_000, 1_000)),
        (
            "endless",
            Script::of([Step::message_start(), Step::Repeat { times: usize::MAX, steps: vec![Step::text("tick ")] }])
                .pace(0, 100),
        ),
        ("tools", tools()),
        ("reasoning", reasoning()),
        ("everything", everything()),
        ("newer", newer()),
    ]
}

/// Calls a tool, and answers when it gets the result.
fn tools() -> Script {
    let start = json!({"toolUse": {"toolUseId": "tooluse_emulated1", "name": "get_weather"}});
    let then = Some(Box::new(Script::reply("It is sunny in Paris.")));
    let ask = Script::of([
        Step::message_start(),
        Step::text("Let me look."),
        Step::block_stop(0),
        Step::event("contentBlockStart", json!({"contentBlockIndex": 1, "start": start})),
        Step::delta(1, json!({"toolUse": {"input": ""}})),
        Step::delta(1, json!({"toolUse": {"input": "{\"city\": \"Pa"}})),
        Step::delta(1, json!({"toolUse": {"input": "ris\"}"}})),
        Step::block_stop(1),
        Step::message_stop("tool_use"),
        Step::metadata(60, 20),
    ]);
    Script { on_tool_result: then, ..ask }
}

fn reasoning() -> Script {
    Script::of([
        Step::message_start(),
        Step::delta(0, json!({"reasoningContent": {"text": "Two and two"}})),
        Step::delta(0, json!({"reasoningContent": {"text": " make four."}})),
        Step::delta(0, json!({"reasoningContent": {"signature": "ZW11bGF0ZWQ="}})),
        Step::block_stop(0),
        Step::delta(1, json!({"reasoningContent": {"redactedContent": "c2VjcmV0"}})),
        Step::block_stop(1),
        Step::delta(2, json!({"text": "Four."})),
        Step::block_stop(2),
        Step::message_stop("end_turn"),
        Step::metadata(10, 12),
    ])
}

/// Every kind of event that Bedrock has, once.
fn everything() -> Script {
    let start = |index: u32, start: Value| {
        Step::event("contentBlockStart", json!({"contentBlockIndex": index, "start": start}))
    };
    let citation = json!({
        "title": "On cats", "source": "cats.pdf", "sourceContent": [{"text": "Cats sleep a lot."}],
        "location": {"documentPage": {"documentIndex": 0, "start": 2, "end": 3}},
    });
    Script::of([
        Step::message_start(),
        Step::delta(0, json!({"reasoningContent": {"text": "The user asks about cats."}})),
        Step::delta(0, json!({"reasoningContent": {"signature": "ZW11bGF0ZWQ="}})),
        Step::block_stop(0),
        Step::delta(1, json!({"reasoningContent": {"redactedContent": "c2VjcmV0"}})),
        Step::block_stop(1),
        Step::delta(2, json!({"text": "Cats sleep a lot [1]."})),
        Step::delta(2, json!({"citation": citation})),
        Step::block_stop(2),
        start(3, json!({"toolUse": {"toolUseId": "tooluse_1", "name": "search", "type": "server_tool_use"}})),
        Step::delta(3, json!({"toolUse": {"input": "{\"query\": \"cats\", \"limit\": 3}"}})),
        Step::block_stop(3),
        start(4, json!({"toolResult": {"toolUseId": "tooluse_1", "type": "search_result", "status": "success"}})),
        Step::delta(4, json!({"toolResult": [{"text": "Two results."}, {"json": {"hits": 2}}]})),
        Step::block_stop(4),
        start(5, json!({"image": {"format": "png"}})),
        Step::delta(5, json!({"image": {"source": {"bytes": "iVBORw0KGgo="}}})),
        Step::block_stop(5),
        Step::event(
            "messageStop",
            json!({"stopReason": "end_turn", "additionalModelResponseFields": {"stop_sequence": null}}),
        ),
        Step::event(
            "metadata",
            json!({
                "usage": {
                    "inputTokens": 30, "outputTokens": 40, "totalTokens": 70, "cacheReadInputTokens": 10,
                    "cacheWriteInputTokens": 5, "cacheDetails": [{"ttl": "5m", "inputTokens": 5}], "serverToolUsage": {},
                },
                "metrics": {"latencyMs": 420},
                "trace": {"guardrail": {"actionReason": "No action."}},
                "serviceTier": {"type": "default"}, "performanceConfig": {"latency": "standard"},
            }),
        ),
    ])
}

/// An answer with events and members that no SDK knows.
fn newer() -> Script {
    Script::of([
        Step::event("messageStart", json!({"role": "narrator", "mood": "calm"})),
        Step::delta(0, json!({"hologram": {"depth": 3}})),
        Step::event(
            "contentBlockDelta",
            json!({"contentBlockIndex": 1, "delta": {"text": "Hello"}, "confidence": 0.5}),
        ),
        Step::event("weather", json!({"sky": "blue"})),
        Step::event("messageStop", json!({"stopReason": "sleepy", "dream": true})),
        Step::event(
            "metadata",
            json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "serverToolUsage": {}}, "metrics": {"latencyMs": 5}}),
        ),
    ])
}
