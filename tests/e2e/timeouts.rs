//! The four timeouts: each fires at its own limit with its own reason, and what is healthy survives all of them.

use std::time::Duration;

use bedrock_emulator::{At, FaultKind, Script, Step};
use outcrop::{app::App, bedrock::Bedrock, config::Settings};
use outcrop_client::{
    Client, ClientError,
    proto::{GenerateRequest, TimeLimits},
};
use prost_types::Duration as ProtoDuration;
use tonic::Code;

use crate::harness::{Harness, request, soon, text_of};

const SHORT: Duration = Duration::from_millis(200);

/// A request with time limits of its own.
fn limited(model: &str, change: impl FnOnce(&mut TimeLimits)) -> GenerateRequest {
    let mut limits = TimeLimits::default();
    change(&mut limits);
    GenerateRequest { time_limits: Some(limits), ..request(model) }
}

fn short() -> Option<ProtoDuration> {
    SHORT.try_into().ok()
}

/// A server whose clocks all are far off, so that what fires is what the request asks for.
async fn patient() -> Harness {
    Harness::with(|settings| settings.attempts = 1).await
}

#[tokio::test]
async fn connect_an_endpoint_that_never_shakes_hands() {
    // TCP connects, because the kernel does that; TLS waits for a peer that answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::local();
    settings.attempts = 2;
    settings.rules.timeouts.default.connect = SHORT;
    let endpoint = format!("https://{}", silent.local_addr().unwrap());
    let app = App::build(&settings, Bedrock::emulated(&endpoint, settings.max_connect()).unwrap()).await.unwrap();
    let server = format!("http://{}", app.address());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(app.run(std::future::pending(), std::future::pending()));
    let client = Client::connect(&server).await.unwrap();
    let Err(ClientError::Call(error)) = soon(client.generate(request("a.model"))).await else { panic!("connected") };
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "CONNECT_TIMEOUT"));
    assert_eq!((error.metadata["attempts"].as_str(), error.metadata["phase"].as_str()), ("2", "before_content"));
    assert!(error.metadata["tried"].contains("a.model@us-east-1 CONNECT_TIMEOUT"), "{error:?}");
}

#[tokio::test]
async fn first_content_a_stream_that_opens_and_stays_silent() {
    let harness = patient().await;
    let model = harness.emulator.register("silent", Script::of([Step::message_start(), Step::WaitMs(60_000)]));
    let asked = limited(&model, |limits| limits.first_content = short());
    let (chunks, error) = harness.ask(asked).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, "FIRST_CONTENT_TIMEOUT"));
    assert_eq!((chunks.len(), error.metadata["model_id"].as_str()), (0, model.as_str()));
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn idle_a_stream_without_further_frames() {
    let harness = patient().await;
    let pause = Script::of([Step::text("a"), Step::WaitMs(60_000)]);
    let stall = Script::reply("a b").fault(FaultKind::Stall, At::Event(2));
    for (script, ended) in [(pause, 1), (stall, 2)] {
        let model = harness.emulator.register("silent", script);
        let asked = limited(&model, |limits| limits.idle = short());
        let (chunks, error) = harness.ask(asked).await.failed();
        assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, "IDLE_TIMEOUT"));
        assert_eq!((text_of(&chunks).as_str(), error.metadata["phase"].as_str()), ("a", "after_content"));
        assert!(error.retry_delay.is_some());
        soon(harness.emulator.wait_until(|stats| stats.abandoned == ended)).await;
    }
}

#[tokio::test]
async fn total_a_stream_that_does_not_end() {
    let harness = patient().await;
    let asked = limited("emulator.endless", |limits| limits.total = short());
    let (chunks, error) = harness.ask(asked).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, "TOTAL_TIMEOUT"));
    assert!(!chunks.is_empty() && error.retry_delay.is_none());
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn total_holds_for_all_attempts_and_waits_together() {
    let harness = Harness::with(|settings| settings.attempts = 50).await;
    let model = harness.emulator.register("down", Script::refuse(503, "ServiceUnavailableException", "down"));
    let asked = limited(&model, |limits| limits.total = short());
    let (_, error) = harness.ask(asked).await.failed();
    assert_eq!((error.reason.as_str(), error.metadata["phase"].as_str()), ("TOTAL_TIMEOUT", "before_content"));
    assert!(error.metadata["tried"].contains("BEDROCK_UNAVAILABLE"), "{error:?}");
}

#[tokio::test]
async fn total_also_runs_while_a_call_waits_for_a_permit() {
    let harness = Harness::with(|settings| {
        settings.limits.streams = 1;
        settings.limits.queue_time = Duration::from_mins(10);
    })
    .await;
    let _running = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    let asked = limited("a.model", |limits| limits.total = short());
    let (_, error) = harness.ask(asked).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, "TOTAL_TIMEOUT"));
    harness.counted("calls_refused_total", &["TOTAL_TIMEOUT"], 1).await;
}

#[tokio::test]
async fn a_healthy_slow_stream_survives_all_four() {
    let harness = Harness::with(|settings| {
        settings.rules.timeouts.default.first_content = Duration::from_secs(4);
        settings.rules.timeouts.default.idle = Duration::from_secs(4);
    })
    .await;
    // Longer in all than any one of the limits on its parts.
    let model = harness.emulator.register("slow", Script::reply("one two three four five").pace(500, 700));
    assert_eq!(text_of(&harness.ask(request(&model)).await.whole()), "one two three four five");
}

#[tokio::test]
async fn a_request_may_not_ask_for_more_than_the_operator_allows() {
    let harness = patient().await;
    let absurd = |seconds| Some(ProtoDuration { seconds, nanos: 0 });
    let asked = limited("a.model", |limits| {
        limits.connect = absurd(-1);
        limits.idle = absurd(16 * 60);
        limits.total = absurd(i64::MAX);
    });
    let (_, error) = harness.ask(asked).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["time_limits.connect", "time_limits.idle", "time_limits.total"]);
    assert!(error.message.contains("at most 900s"), "{error}");
    assert_eq!(harness.emulator.stats().requests, 0);
}
