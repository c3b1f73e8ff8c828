//! A caller that cancels ends the request to Bedrock at once, or has it drained, as its mode says.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop::shutdown::Ended;
use outcrop_client::proto::{AbandonmentMode, GenerateRequest};

use crate::harness::{Harness, request, soon};

#[tokio::test]
async fn a_caller_who_drops_the_stream_makes_bedrock_see_it() {
    let harness = Harness::start().await;
    let mut chunks = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    soon(chunks.next()).await.unwrap();
    assert_eq!(harness.emulator.stats().running(), 1);
    drop(chunks);
    let stats = soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    assert_eq!(stats.running(), 0);
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_first_content_makes_bedrock_see_it() {
    let harness = Harness::start().await;
    let silent = Script::reply("late").pace(60_000, 0);
    let model = harness.emulator.register("silent", silent);
    let call = harness.client.generate(request(&model));
    tokio::select! {
        _ = call => panic!("nothing has come yet"),
        _ = soon(harness.emulator.wait_until(|stats| stats.opened == 1)) => {}
    }
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn a_hundred_callers_who_leave_leave_nothing_behind() {
    let harness = Harness::start().await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut chunks = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
        soon(chunks.next()).await.unwrap();
        all.push(chunks);
    }
    assert_eq!(harness.emulator.stats().running(), 100);
    drop(all);
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 100)).await;
}

/// Some text now, the rest and the usage a little later.
fn paused(pause: u64) -> Script {
    Script::of([
        Step::text("a"),
        Step::WaitMs(pause),
        Step::text("b"),
        Step::message_stop("end_turn"),
        Step::metadata(30, 12),
    ])
}

/// Asks, reads the first chunk, and leaves.
async fn asked_and_left(harness: &Harness, request: GenerateRequest) {
    let mut chunks = soon(harness.client.generate(request)).await.unwrap();
    soon(chunks.next()).await.unwrap();
}

fn drained(model: &str) -> GenerateRequest {
    GenerateRequest { abandonment_mode: AbandonmentMode::Drain.into(), ..request(model) }
}

#[tokio::test]
async fn a_cancelled_call_is_counted_without_usage() {
    let harness = Harness::start().await;
    asked_and_left(&harness, request("emulator.endless")).await;
    harness.counted("streams_abandoned_total", &["mode=\"cancel\"", "usage=\"none\""], 1).await;
    assert_eq!((harness.count("streams_running", &[]), harness.count("tokens_total", &[])), (0, 0));
}

#[tokio::test]
async fn a_drained_call_is_read_to_its_end_and_its_usage_is_known() {
    let harness = Harness::start().await;
    let model = harness.emulator.register("paused", paused(200));
    asked_and_left(&harness, drained(&model)).await;
    harness.counted("streams_abandoned_total", &["mode=\"drain\"", "usage=\"provider\""], 1).await;
    let stats = harness.emulator.stats();
    assert_eq!((stats.completed, stats.abandoned), (1, 0));
    assert_eq!(harness.count("tokens_total", &["input"]), 30);
    assert_eq!(harness.count("tokens_total", &["output"]), 12);
    assert_eq!((harness.count("streams_running", &[]), harness.count("drains_running", &[])), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_abandoned_before_content_is_drained_and_not_retried() {
    let harness = Harness::with(|settings| settings.attempts = 3).await;
    let throttled = Script::of([Step::exception("throttlingException", "no")]).pace(300, 0);
    for (script, usage) in [(paused(0).pace(300, 0), "provider"), (throttled, "none")] {
        let model = harness.emulator.register("late", script);
        let requests = harness.emulator.stats().requests;
        let call = harness.client.generate(drained(&model));
        tokio::select! {
            _ = call => panic!("nothing has come yet"),
            _ = soon(harness.emulator.wait_until(|stats| stats.requests == requests + 1)) => {}
        }
        harness.counted("streams_abandoned_total", &[&format!("usage=\"{usage}\"")], 1).await;
        assert_eq!(harness.emulator.stats().requests, requests + 1);
    }
}

#[tokio::test]
async fn the_operator_says_what_happens_to_a_call_that_does_not() {
    let harness = Harness::with(|settings| settings.abandonment.mode = outcrop::proto::AbandonmentMode::Drain).await;
    let model = harness.emulator.register("paused", paused(50));
    asked_and_left(&harness, request(&model)).await;
    harness.counted("streams_abandoned_total", &["drain", "provider"], 1).await;
    let cancelled = GenerateRequest { abandonment_mode: AbandonmentMode::Cancel.into(), ..request("emulator.endless") };
    asked_and_left(&harness, cancelled).await;
    harness.counted("streams_abandoned_total", &["cancel"], 1).await;
}

#[tokio::test]
async fn draining_is_bounded_in_time_in_number_and_in_memory() {
    let harness = Harness::with(|settings| {
        settings.abandonment.drain_time = Duration::from_millis(300);
        settings.abandonment.drains = 2;
    })
    .await;
    // In number: of five, two are drained, and those for a limited time.
    let mut calls = Vec::new();
    for _ in 0..5 {
        let mut chunks = soon(harness.client.generate(drained("emulator.endless"))).await.unwrap();
        soon(chunks.next()).await.unwrap();
        calls.push(chunks);
    }
    drop(calls);
    harness.counted("streams_abandoned_total", &["cancel", "none"], 3).await;
    harness.counted("streams_abandoned_total", &["drain", "none"], 2).await;
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 5)).await;
    // In memory: a frame of two megabytes is not read.
    let large = Step::text(&"x".repeat(2 << 20));
    let steps = [Step::text("a"), Step::WaitMs(50), large, Step::message_stop("end_turn"), Step::metadata(1, 1)];
    let model = harness.emulator.register("large", Script::of(steps));
    asked_and_left(&harness, drained(&model)).await;
    harness.counted("streams_abandoned_total", &["drain", "none"], 3).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_drained_within_its_grace() {
    let mut harness = Harness::start().await;
    let model = harness.emulator.register("paused", paused(400));
    asked_and_left(&harness, drained(&model)).await;
    harness.counted("drains_running", &[], 1).await;
    harness.begin_shutdown();
    assert_eq!(harness.ended().await, Ended::Drained);
    assert_eq!(harness.count("tokens_total", &["output"]), 12);
    let mut harness = Harness::with(|settings| settings.shutdown.grace = Duration::from_millis(100)).await;
    asked_and_left(&harness, drained("emulator.endless")).await;
    harness.counted("drains_running", &[], 1).await;
    harness.begin_shutdown();
    assert_eq!(harness.ended().await, Ended::Forced(1));
    assert_eq!(harness.count("streams_abandoned_total", &["drain", "none"]), 1);
}
