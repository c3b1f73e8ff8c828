//! Quotas of requests, as a client of the emulator sees them.

use serde_json::json;
use tokio::time::{Duration, timeout};

use super::usage;
use crate::{
    quota::{Quota, QuotaUsage},
    script::{At, FaultKind, Script, Step},
    served::{Served, all, json_of, prompt, read},
    usage::TokenUsage,
};

const MODEL: &str = "emulator.measured";

/// An emulator with a script that reports 10 input tokens and 20 output tokens, and a quota of 1,000 tokens with a burndown of 5.
fn measured(script: Script) -> Served {
    let served = Served::new();
    served.shared.catalogue.register(MODEL.to_owned(), [script]);
    served.shared.quotas.set(MODEL, None, Quota { burndown: 5, ..Quota::of_tokens(1_000) }).unwrap();
    served
}

fn reply() -> Script {
    Script::reply_with("one two three", usage(10, 20))
}

fn counts(served: &Served) -> QuotaUsage {
    served.shared.quotas.usage(MODEL, None).unwrap()
}

/// The counts of ends, and what was charged: settled, kept, released, tokens.
fn ends(served: &Served) -> [u64; 4] {
    let counts = counts(served);
    assert_eq!((counts.running, counts.tokens_reserved), (0, 0));
    [counts.settled, counts.kept, counts.released, counts.tokens_charged]
}

#[tokio::test(start_paused = true)]
async fn a_whole_stream_is_charged_what_it_reports() {
    for operation in ["converse-stream", "converse"] {
        let served = measured(reply());
        let response = served.operate(operation, MODEL, "us-east-1", &prompt("hi", 300)).await;
        if operation == "converse-stream" {
            assert_eq!(counts(&served).tokens_reserved, 310);
        }
        all(response).await;
        assert_eq!(ends(&served), [1, 0, 0, 110], "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_native_stream_is_charged_what_it_reports() {
    let served = measured(reply());
    let body = json!({"anthropic_version": "x", "max_tokens": 300, "messages": []});
    for operation in ["invoke-with-response-stream", "invoke"] {
        all(served.operate(operation, MODEL, "us-east-1", &body).await).await;
    }
    assert_eq!(ends(&served), [2, 0, 0, 220]);
    assert_eq!(counts(&served).highest_admitted_level, 420);
    let metrics = json!({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 2}});
    let served = measured(Script::of([Step::Chunk(metrics)]));
    all(served.operate("invoke-with-response-stream", MODEL, "", &body).await).await;
    assert_eq!(ends(&served), [1, 0, 0, 17]);
}

#[tokio::test(start_paused = true)]
async fn cache_reads_are_reserved_and_free_and_told() {
    let cached = TokenUsage { input: 10, output: 20, cache_read: 400, cache_write: 30 };
    let served = measured(Script::reply_with("one", cached));
    let body = json!({"anthropic_version": "x", "max_tokens": 300, "messages": []});
    let response = served.operate("invoke", MODEL, "", &body).await;
    let header =
        |name: &str| response.headers()[format!("x-amzn-bedrock-{name}-token-count")].to_str().unwrap().to_owned();
    let told = ["input", "output", "cache-read-input", "cache-write-input"].map(header);
    assert_eq!(told, ["10", "20", "400", "30"]);
    all(response).await;
    assert_eq!(counts(&served).highest_admitted_level, 740);
    assert_eq!(ends(&served), [1, 0, 0, 10 + 30 + 20 * 5]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_at_any_frame_keeps_the_reservation_once() {
    let frames = 7;
    for read_frames in 0..=frames {
        let served = measured(reply().pace(100, 100));
        let response = served.operate("converse-stream", MODEL, "", &prompt("hi", 300)).await;
        assert!(!read(response, read_frames).await, "the stream has {frames} frames");
        assert_eq!(ends(&served), [0, 1, 0, 310], "after {read_frames} frames");
    }
    let served = measured(reply());
    assert!(read(served.operate("converse-stream", MODEL, "", &prompt("hi", 300)).await, frames + 1).await);
    assert_eq!(ends(&served), [1, 0, 0, 110]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_whole_answer_keeps_the_reservation_once() {
    let served = measured(reply().pace(1_000, 0));
    let asked = prompt("hi", 300);
    let answer = served.operate("converse", MODEL, "", &asked);
    assert!(timeout(Duration::from_millis(900), answer).await.is_err());
    assert_eq!(ends(&served), [0, 1, 0, 310]);
}

#[tokio::test(start_paused = true)]
async fn every_fault_that_ends_an_answer_keeps_the_reservation_once() {
    let faults = [
        FaultKind::End,
        FaultKind::Cut,
        FaultKind::Reset,
        FaultKind::ResetStream(8),
        FaultKind::Disconnect,
        FaultKind::Stall,
        FaultKind::Oversized,
        FaultKind::Undersized,
    ];
    for (kind, operation) in faults.into_iter().flat_map(|kind| [(kind, "converse-stream"), (kind, "converse")]) {
        let served = measured(reply().fault(kind, At::Event(2)));
        let response = served.operate(operation, MODEL, "", &prompt("hi", 300)).await;
        let _ = timeout(Duration::from_mins(1), read(response, 100)).await;
        assert_eq!(ends(&served), [0, 1, 0, 310], "{kind:?} of {operation}");
    }
    for (kind, operation) in [
        (FaultKind::Corrupt, "converse-stream"),
        (FaultKind::GoAway, "converse-stream"),
        (FaultKind::Corrupt, "converse"),
    ] {
        let served = measured(reply().fault(kind, At::Event(2)));
        all(served.operate(operation, MODEL, "", &prompt("hi", 300)).await).await;
        assert_eq!(ends(&served), [1, 0, 0, 110], "{kind:?} of {operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exception_keeps_the_reservation_and_an_error_is_free() {
    let broken =
        || Script::of([Step::text("a"), Step::exception("modelStreamErrorException", "m"), Step::usage(usage(1, 1))]);
    let served = measured(broken());
    all(served.operate("converse-stream", MODEL, "", &prompt("hi", 300)).await).await;
    // The input is counted in the request, because the answer reports none.
    assert_eq!(ends(&served), [0, 1, 0, 301]);
    let served = measured(broken());
    let response = served.operate("converse", MODEL, "", &prompt("hi", 300)).await;
    assert_eq!(response.status(), 424);
    assert_eq!(ends(&served), [0, 0, 1, 0]);
    let served = measured(Script::refuse(403, "AccessDeniedException", "no"));
    assert_eq!(served.operate("converse", MODEL, "", &prompt("hi", 300)).await.status(), 403);
    assert_eq!(counts(&served).requests, 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_request_takes_no_script_of_a_sequence() {
    let served = measured(reply());
    served.shared.catalogue.register(MODEL.to_owned(), [reply(), Script::reply_with("second", usage(1, 1))]);
    let refused = served.operate("converse", MODEL, "", &prompt("hi", 1_000)).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["x-amzn-errortype"].to_str().unwrap().starts_with("ThrottlingException:"));
    assert!(!refused.headers().contains_key("retry-after"));
    let message = json_of(refused).await["message"].clone();
    assert_eq!(message, "Too many tokens, please wait before trying again.");
    let answer = json_of(served.operate("converse", MODEL, "", &prompt("hi", 300)).await).await;
    assert_eq!(answer["output"]["message"]["content"][0]["text"], "one two three");
    assert_eq!((counts(&served).throttled, served.shared.ledger.stats().refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_that_of_the_region_of_the_signature() {
    let served = Served::new();
    let model = "anthropic.claude-sonnet-4-20250514-v1:0";
    let (status, _) = served.control("PUT", &format!("quotas/{model}@us-west-2"), &json!({"requests": 1})).await;
    assert_eq!(status, 204);
    let mut statuses = Vec::new();
    for region in ["us-west-2", "us-west-2", "us-east-1", "us-east-1"] {
        statuses.push(served.operate("converse", model, region, &prompt("hi", 9)).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200, 200]);
    // Tokens that are only counted are free.
    let counted = json!({"input": {"converse": prompt("hi", 9)}});
    assert_eq!(served.operate("count-tokens", model, "us-west-2", &counted).await.status(), 200);
    let (_, quotas) = served.control("GET", "quotas", &json!(null)).await;
    assert_eq!((&quotas[0]["model_id"], &quotas[0]["region"]), (&json!(model), &json!("us-west-2")));
    assert_eq!((&quotas[0]["quota"]["requests"], &quotas[0]["usage"]["throttled"]), (&json!(1), &json!(1)));
    assert_eq!(served.control("DELETE", &format!("quotas/{model}@us-west-2"), &json!(null)).await.0, 204);
    assert_eq!(served.control("DELETE", &format!("quotas/{model}@us-west-2"), &json!(null)).await.0, 404);
    assert_eq!(served.operate("converse", model, "us-west-2", &prompt("hi", 9)).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_quota_is_refused_with_what_is_wrong() {
    let served = Served::new();
    let cases = [
        (json!({"tokens": 0}), "tokens is 0"),
        (json!({"tokens": -1}), "invalid value: integer `-1`"),
        (json!({"tokens": 1, "burndown": 0}), "burndown is 0"),
        (json!({"tokens": 1, "burn": 5}), "unknown field `burn`"),
        (json!({"tokens": 1, "model": "leaky"}), "unknown variant `leaky`"),
        (json!({}), "needs at least one of"),
        (json!(null), "is not a quota"),
    ];
    for (quota, expected) in cases {
        let (status, answer) = served.control("PUT", "quotas/a.model", &quota).await;
        let message = answer["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(expected), "{quota}: {message}");
    }
    assert_eq!(served.control("GET", "quotas", &json!(null)).await.1, json!([]));
}
