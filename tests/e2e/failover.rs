//! Until the first content a failed attempt is replaced along the route; after it nothing is.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop::failover::routes::Routes;
use outcrop_client::proto::{CountTokensRequest, GenerateRequest, chunk::Event};
use tonic::Code;

use crate::harness::{Harness, request, soon, start_of, text_of};

const ELSEWHERE: &str = "us-west-2";

/// Two regions for the model `emulator.routed`.
async fn two_regions() -> Harness {
    Harness::with(|settings| {
        let route = "emulator.routed=emulator.routed,@us-west-2".to_owned();
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        settings.rules.timeouts.default.first_content = Duration::from_secs(1);
    })
    .await
}

fn tried(chunks: &[outcrop_client::proto::Chunk]) -> Vec<(String, String)> {
    start_of(chunks).attempts.iter().map(|attempt| (attempt.region.clone(), attempt.reason.clone())).collect()
}

#[tokio::test]
async fn a_throttle_as_the_first_frame_is_answered_from_the_second_region() {
    let harness = two_regions().await;
    let throttle = Script::of([Step::exception("throttlingException", "Too many tokens")]);
    harness.emulator.register("routed", throttle);
    let model = harness.emulator.register_in("routed", ELSEWHERE, [Script::reply("from the west")]);
    let chunks = harness.ask(request(&model)).await.whole();
    assert_eq!(text_of(&chunks), "from the west", "no duplicate content");
    assert_eq!(chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Start(_)))).count(), 1);
    let expected = [("us-east-1", "BEDROCK_THROTTLED"), (ELSEWHERE, "")];
    assert_eq!(tried(&chunks), expected.map(|(region, reason)| (region.to_owned(), reason.to_owned())));
    assert_eq!((start_of(&chunks).region.as_str(), start_of(&chunks).model_id.as_str()), (ELSEWHERE, model.as_str()));
    assert_eq!(harness.emulator.last_request().unwrap().region, ELSEWHERE, "signed for it");
    assert_eq!(harness.emulator.stats().requests, 2);
}

#[tokio::test]
async fn whatever_fails_before_content_is_answered_from_the_second_region() {
    let harness = two_regions().await;
    let silent = Script::of([Step::message_start(), Step::WaitMs(60_000)]);
    let failures = [
        (Script::refuse(429, "ThrottlingException", "no"), "BEDROCK_THROTTLED"),
        (Script::refuse(429, "ModelNotReadyException", "no"), "BEDROCK_MODEL_NOT_READY"),
        (Script::refuse(503, "ServiceUnavailableException", "no"), "BEDROCK_UNAVAILABLE"),
        (Script::of([Step::exception("modelTimeoutException", "no")]), "MODEL_TIMEOUT"),
        (silent, "FIRST_CONTENT_TIMEOUT"),
        (Script::reply("late").pace(60_000, 0), "FIRST_CONTENT_TIMEOUT"),
    ];
    // Fewer in a row than it takes to keep the region out.
    let model = harness.emulator.register_in("routed", ELSEWHERE, [Script::reply("here")]);
    for (script, reason) in failures {
        harness.emulator.register("routed", script);
        let chunks = harness.ask(request(&model)).await.whole();
        assert_eq!(tried(&chunks)[0], ("us-east-1".to_owned(), reason.to_owned()));
        assert_eq!(text_of(&chunks), "here");
        harness.emulator.register("routed", Script::reply("well again"));
        assert_eq!(
            text_of(&harness.ask(request(&model)).await.whole()),
            "well again",
            "the first region stays the first"
        );
    }
    soon(harness.emulator.wait_until(|stats| stats.running() == 0)).await;
}

#[tokio::test]
async fn a_throttle_after_content_is_not_retried() {
    let harness = two_regions().await;
    let steps = [Step::message_start(), Step::text("a"), Step::exception("throttlingException", "Too many tokens")];
    let model = harness.emulator.register("routed", Script::of(steps));
    let (chunks, error) = harness.ask(request(&model)).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "BEDROCK_THROTTLED"));
    assert_eq!((error.metadata["phase"].as_str(), error.metadata["attempts"].as_str()), ("after_content", "1"));
    assert_eq!(text_of(&chunks), "a");
    assert_eq!(harness.emulator.stats().requests, 1);
}

#[tokio::test]
async fn what_fails_everywhere_says_where_it_was_tried() {
    let harness = two_regions().await;
    let model = harness.emulator.register("routed", Script::refuse(503, "ServiceUnavailableException", "no"));
    let (_, error) = harness.ask(request(&model)).await.failed();
    assert_eq!((error.reason.as_str(), error.metadata["attempts"].as_str()), ("BEDROCK_UNAVAILABLE", "3"));
    let each = ["us-east-1", ELSEWHERE, "us-east-1"].map(|region| format!("{model}@{region} BEDROCK_UNAVAILABLE"));
    assert_eq!(error.metadata["tried"], each.join(", "));
}

#[tokio::test]
async fn a_region_that_is_dead_is_not_asked_for_every_call() {
    let harness = two_regions().await;
    harness.emulator.register("routed", Script::refuse(503, "ServiceUnavailableException", "no"));
    let model = harness.emulator.register_in("routed", ELSEWHERE, [Script::reply("here")]);
    for _ in 0..20 {
        harness.ask(request(&model)).await.whole();
    }
    assert_eq!(harness.emulator.stats().refused, 5, "after five failures in a row the region is kept out");
    assert_eq!(harness.count("attempts_total", &["us-east-1", "BEDROCK_UNAVAILABLE"]), 5);
    assert_eq!(harness.count("attempts_total", &[ELSEWHERE, "ANSWERED"]), 20);
}

#[tokio::test]
async fn a_route_may_lead_to_another_model_but_a_raw_body_does_not_follow() {
    let harness = Harness::with(|settings| {
        settings.rules.routes = Routes::parse(&["best=emulator.first,emulator.second".to_owned()], 3).unwrap();
    })
    .await;
    harness.emulator.register("first", Script::refuse(503, "ServiceUnavailableException", "no"));
    harness.emulator.register("second", Script::reply("second best"));
    let chunks = harness.ask(request("best")).await.whole();
    assert_eq!((text_of(&chunks).as_str(), start_of(&chunks).model_id.as_str()), ("second best", "emulator.second"));
    // The server does not know whether another model has this format.
    let native_body = r#"{"prompt": "hi"}"#.to_owned();
    let raw = GenerateRequest { prompt: String::new(), native_body, ..request("best") };
    let (_, error) = harness.ask(raw).await.failed();
    assert!(!error.metadata["tried"].contains("emulator.second"), "{error:?}");
}

#[tokio::test]
async fn the_default_model_may_be_a_route_and_tokens_are_counted_along_it() {
    let harness = Harness::with(|settings| {
        settings.rules.routes = Routes::parse(&["best=emulator.first,emulator.second".to_owned()], 3).unwrap();
        settings.rules.default_model = Some("best".to_owned());
    })
    .await;
    harness.emulator.register("first", Script::refuse(429, "ThrottlingException", "no"));
    harness.emulator.register("second", Script::reply("second best"));
    let chunks = harness.ask(request("")).await.whole();
    assert_eq!(start_of(&chunks).model_id, "emulator.second");
    let count = CountTokensRequest { prompt: "one two three".to_owned(), ..CountTokensRequest::default() };
    assert_eq!(soon(harness.client.count_tokens(count)).await.unwrap(), 3);
    assert_eq!(harness.emulator.last_request().unwrap().model_id, "emulator.second");
}
