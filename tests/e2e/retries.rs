//! Before content a failed attempt is replaced unseen; after content nothing is.

use bedrock_emulator::Script;

use crate::harness::{Harness, request, start_of, text_of};

#[tokio::test]
async fn a_refused_attempt_is_replaced_and_both_are_told() {
    let harness = Harness::with(|settings| settings.attempts = 2).await;
    let refusal = Script::refuse(503, "ServiceUnavailableException", "Model is getting throttled.");
    let model = harness.emulator.register_sequence("second-try", [refusal, Script::reply("here")]);
    let chunks = harness.ask(request(&model)).await.whole();
    assert_eq!(text_of(&chunks), "here");
    let reasons: Vec<_> = start_of(&chunks).attempts.iter().map(|attempt| attempt.reason.as_str()).collect();
    assert_eq!(reasons, ["BEDROCK_UNAVAILABLE", ""]);
}

#[tokio::test]
async fn attempts_are_counted_in_the_error() {
    let harness = Harness::with(|settings| settings.attempts = 2).await;
    let script = Script::refuse(503, "ServiceUnavailableException", "Model is getting throttled.");
    let (_, error) = harness.play("down", script).await.failed();
    assert_eq!(error.metadata["attempts"], "2");
    assert_eq!(harness.emulator.stats().requests, 2);
}

#[tokio::test]
async fn what_cannot_succeed_is_not_tried_again() {
    let harness = Harness::with(|settings| settings.attempts = 3).await;
    let script = Script::refuse(400, "ValidationException", "no");
    let (_, error) = harness.play("wrong", script).await.failed();
    assert_eq!(error.metadata["attempts"], "1");
    assert_eq!(harness.emulator.stats().requests, 1);
}

#[tokio::test]
async fn after_content_nothing_is_repeated() {
    let harness = Harness::with(|settings| settings.attempts = 3).await;
    harness.ask(request("emulator.exception")).await.failed();
    assert_eq!(harness.emulator.stats().requests, 1);
}
