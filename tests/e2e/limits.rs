//! Who may have how much: places among the streams, requests and tokens per minute. Refusals are immediate and say which limit it was.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use bedrock_emulator::{Script, Step};
use outcrop::config::Settings;
use outcrop_client::{
    CallError, Chunks, Client, ClientError,
    proto::{GenerateRequest, InferenceConfiguration},
};
use tokio::time::sleep;
use tonic::{Code, transport::Endpoint};

use crate::harness::{Harness, collect, request, soon};

async fn open(client: &Client, model: &str) -> Result<Chunks, CallError> {
    match soon(Box::pin(client.generate(request(model)))).await {
        Ok(chunks) => Ok(chunks),
        Err(ClientError::Call(error)) => Err(*error),
        Err(other) => panic!("{other}"),
    }
}

/// Another caller: every address of 127.0.0.0/8 is this machine's.
async fn caller_from(harness: &Harness, address: &str) -> Client {
    let address: IpAddr = address.parse().unwrap();
    let endpoint = Endpoint::from_shared(harness.endpoint.clone()).unwrap().local_address(Some(address));
    Client::over(endpoint.connect().await.unwrap())
}

fn assert_limited(error: &CallError, part: &str) {
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "LOCAL_LIMIT"), "{error}");
    assert!(error.message.contains(part), "{error}");
    let quota = error.quota.as_ref().expect("QuotaFailure");
    assert!(quota.description.contains(part), "{quota:?}");
}

async fn limited(change: impl FnOnce(&mut Settings)) -> Harness {
    Harness::with(|settings| {
        settings.attempts = 1;
        change(settings);
    })
    .await
}

#[tokio::test]
async fn a_stream_holds_its_place_until_it_ends() {
    let harness = limited(|settings| settings.limits.streams = 2).await;
    let first = open(&harness.client, "emulator.endless").await.unwrap();
    let second = open(&harness.client, "emulator.endless").await.unwrap();
    let error = open(&harness.client, "a.model").await.unwrap_err();
    assert_limited(&error, "server can have 2 running streams (--max-streams)");
    assert!(error.retry_delay.is_some());
    assert_eq!(harness.emulator.stats().requests, 2, "Bedrock is not asked");
    drop(first);
    soon(async { while open(&harness.client, "emulator.tools").await.is_err() {} }).await;
    drop(second);
    harness.counted("streams_running", &[], 0).await;
    assert!(harness.count("calls_refused_total", &["LOCAL_LIMIT"]) >= 1);
}

#[tokio::test]
async fn each_caller_and_each_model_has_its_own_places() {
    let harness = limited(|settings| {
        settings.limits.streams_per_caller = Some(2);
        settings.limits.streams_per_model = Some(3);
    })
    .await;
    let other = caller_from(&harness, "127.0.0.2").await;
    let mut held = Vec::new();
    for client in [&harness.client, &harness.client, &other] {
        held.push(open(client, "emulator.endless").await.unwrap());
    }
    let error = open(&harness.client, "emulator.slow").await.unwrap_err();
    assert_limited(&error, "caller:127.0.0.1 can have 2 running streams (--max-streams-per-caller)");
    let error = open(&other, "emulator.endless").await.unwrap_err();
    assert_limited(&error, "model:emulator.endless can have 3 running streams (--max-streams-per-model)");
    held.push(open(&other, "emulator.tools").await.unwrap());
}

#[tokio::test]
async fn a_queue_waits_for_a_permit_for_a_limited_time() {
    let harness = limited(|settings| {
        settings.limits.streams = 1;
        settings.limits.queue_time = Duration::from_millis(600);
        settings.limits.queue_length = 4;
    })
    .await;
    let model = harness.emulator.register("short", Script::of([Step::text("a"), Step::WaitMs(200), Step::text("b")]));
    let running = open(&harness.client, &model).await.unwrap();
    let (waiting, refused) = tokio::join!(open(&harness.client, "emulator.endless"), async {
        sleep(Duration::from_millis(50)).await;
        open(&harness.client, "a.model").await
    });
    assert_limited(&refused.unwrap_err(), "and the client's share of the queue is full");
    assert!(waiting.is_ok(), "the permit of the first was released");
    drop(running);
    let error = open(&harness.client, "a.model").await.unwrap_err();
    assert_limited(&error, "no permit was released within 600ms");
}

#[tokio::test]
async fn requests_a_minute_are_counted_by_caller_also_for_counting_tokens() {
    let harness = limited(|settings| settings.limits.requests_per_minute = NonZeroU32::new(3)).await;
    for _ in 0..2 {
        open(&harness.client, "emulator.tools").await.unwrap();
    }
    let count = || outcrop_client::proto::CountTokensRequest { prompt: "a".to_owned(), ..Default::default() };
    soon(harness.client.count_tokens(count())).await.unwrap();
    let Err(ClientError::Call(error)) = soon(harness.client.count_tokens(count())).await else { panic!("refused") };
    assert_limited(&error, "caller:127.0.0.1 can have 3 requests per minute (--requests-per-minute)");
    let delay = error.retry_delay.unwrap();
    assert!(delay > Duration::from_secs(15) && delay <= Duration::from_secs(20), "a third of a minute: {delay:?}");
    let other = caller_from(&harness, "127.0.0.3").await;
    open(&other, "emulator.tools").await.unwrap();
}

fn may_generate(model: &str, max_tokens: i32) -> GenerateRequest {
    let config = InferenceConfiguration { max_tokens: Some(max_tokens), ..InferenceConfiguration::default() };
    GenerateRequest { inference_config: Some(config), ..request(model) }
}

#[tokio::test]
async fn tokens_are_reserved_when_a_call_begins_and_settled_when_it_ends() {
    let harness = limited(|settings| settings.limits.tokens_per_minute = NonZeroU32::new(10_000)).await;
    let finishing = Script::of([Step::text("a"), Step::message_stop("end_turn"), Step::metadata(60, 40)]);
    let model = harness.emulator.register("finishing", finishing);
    // Ten times what a minute allows, if nothing were given back.
    for _ in 0..10 {
        harness.ask(may_generate(&model, 9_000)).await.whole();
    }
    let chunks = soon(harness.client.generate(may_generate("emulator.endless", 8_000))).await.unwrap();
    let (_, error) = harness.ask(may_generate(&model, 9_000)).await.failed();
    assert_limited(&error, "10000 tokens per minute (--tokens-per-minute)");
    assert!(error.retry_delay.is_some());
    // The usage of an abandoned call is unknown, so its reservation stands.
    drop(chunks);
    harness.counted("streams_running", &[], 0).await;
    harness.ask(may_generate(&model, 9_000)).await.failed();
    let (_, error) = harness.ask(may_generate(&model, 10_001)).await.failed();
    assert!(error.retry_delay.is_none(), "a retry cannot help: {error:?}");
}

#[tokio::test]
async fn input_is_reserved_and_a_cancelled_call_with_large_input_costs_it() {
    let harness = limited(|settings| settings.limits.tokens_per_minute = NonZeroU32::new(210_000)).await;
    let large = || GenerateRequest { prompt: "word ".repeat(160_000), ..may_generate("emulator.endless", 1) };
    let chunks = soon(harness.client.generate(large())).await.unwrap();
    drop(chunks);
    harness.counted("streams_running", &[], 0).await;
    let (_, error) = harness.ask(large()).await.failed();
    assert_limited(&error, "210000 tokens per minute (--tokens-per-minute)");
    assert!(error.message.contains("200000 input tokens"), "{error}");
}

#[tokio::test]
async fn a_deadline_before_content_costs_the_input_and_cache_tokens_count_as_input() {
    let harness = limited(|settings| {
        settings.limits.tokens_per_minute = NonZeroU32::new(100_000);
        settings.rules.timeouts.default.first_content = Duration::from_millis(100);
    })
    .await;
    let large = || GenerateRequest { prompt: "word ".repeat(48_000), ..may_generate("emulator.silent", 9) };
    let silent = Script::of([Step::WaitMs(60_000)]);
    harness.emulator.register("silent", silent);
    let (_, error) = harness.ask(large()).await.failed();
    assert_eq!(error.reason, "FIRST_CONTENT_TIMEOUT");
    let (_, error) = harness.ask(large()).await.failed();
    assert_limited(&error, "tokens per minute");
    let harness = limited(|settings| settings.limits.tokens_per_minute = NonZeroU32::new(10_000)).await;
    let cached = Step::Event {
        event_type: "metadata".to_owned(),
        payload: serde_json::json!({"usage": {"inputTokens": 10, "outputTokens": 10, "cacheWriteInputTokens": 9_000}}),
    };
    let script = Script::of([Step::text("a"), Step::message_stop("end_turn"), cached]);
    let model = harness.emulator.register("cached", script);
    harness.ask(may_generate(&model, 100)).await.whole();
    let (_, error) = harness.ask(may_generate(&model, 2_000)).await.failed();
    assert_limited(&error, "tokens per minute");
}

#[tokio::test]
async fn a_call_that_leaves_the_queue_costs_no_tokens() {
    let harness = limited(|settings| {
        settings.limits.streams = 1;
        settings.limits.queue_time = Duration::from_mins(1);
        settings.limits.tokens_per_minute = NonZeroU32::new(10_000);
    })
    .await;
    let running = soon(harness.client.generate(may_generate("emulator.endless", 500))).await.unwrap();
    // Each would be refused if one before it had kept its reservation.
    for _ in 0..3 {
        let waits = async {
            loop {
                let call = Box::pin(harness.client.generate(may_generate("emulator.tools", 9_000)));
                if tokio::time::timeout(Duration::from_millis(200), call).await.is_err() {
                    return;
                }
            }
        };
        soon(waits).await;
    }
    drop(running);
}

#[tokio::test]
async fn an_attempt_that_failed_after_its_input_was_read_costs_it_although_the_next_was_throttled() {
    let harness = Harness::with(|settings| {
        settings.attempts = 2;
        settings.limits.tokens_per_minute = NonZeroU32::new(100_000);
    })
    .await;
    let failed = Script::of([Step::exception("modelStreamErrorException", "no")]);
    let throttled = Script::refuse(429, "ThrottlingException", "no");
    let model = harness.emulator.register_sequence("twice", [failed, throttled]);
    let large = || GenerateRequest { prompt: "word ".repeat(48_000), ..may_generate(&model, 9) };
    let (_, error) = harness.ask(large()).await.failed();
    assert_eq!((error.reason.as_str(), error.metadata["attempts"].as_str()), ("BEDROCK_THROTTLED", "2"));
    let (_, error) = harness.ask(large()).await.failed();
    assert_limited(&error, "tokens per minute");
}

#[tokio::test]
async fn a_throttled_call_costs_no_tokens() {
    let harness = limited(|settings| settings.limits.tokens_per_minute = NonZeroU32::new(10_000)).await;
    for _ in 0..10 {
        let (_, error) = harness.ask(may_generate("emulator.throttle-first", 9_000)).await.failed();
        assert_eq!(error.reason, "BEDROCK_THROTTLED");
    }
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_its_permit_no_longer_than_the_total_timeout() {
    let harness = limited(|settings| {
        settings.limits.streams = 1;
        settings.rules.timeouts.default.total = Duration::from_secs(2);
    })
    .await;
    let endless = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    let model = harness.emulator.register("flood", Script::of([endless]));
    let unread = open(&harness.client, &model).await.unwrap();
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    open(&harness.client, "emulator.tools").await.unwrap();
    assert_eq!(harness.count("streams_failed_total", &["TOTAL_TIMEOUT"]), 1);
    let error = soon(collect(unread)).await.result.unwrap_err();
    assert!(error.to_string().starts_with("TOTAL_TIMEOUT"), "{error}");
}

#[tokio::test]
async fn a_caller_that_does_not_read_ends_with_unread_timeout_and_a_silent_model_does_not() {
    let harness = limited(|settings| settings.unread_timeout = Duration::from_millis(500)).await;
    let quiet = Script::of([Step::text("a"), Step::WaitMs(3_000), Step::message_stop("end_turn")]);
    let quiet = harness.emulator.register("quiet", quiet);
    let silent = open(&harness.client, &quiet).await.unwrap();
    let endless = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    let model = harness.emulator.register("flood", Script::of([endless]));
    let unread = open(&harness.client, &model).await.unwrap();
    let mut whole = tokio::task::JoinSet::new();
    whole.spawn(collect(silent));
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    assert_eq!(harness.count("streams_failed_total", &["UNREAD_TIMEOUT"]), 1);
    let error = soon(collect(unread)).await.result.unwrap_err();
    assert!(error.to_string().starts_with("UNREAD_TIMEOUT"), "{error}");
    soon(whole.join_next()).await.unwrap().unwrap().whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_windows_do_not_hide_a_caller_that_does_not_read() {
    let harness = limited(|settings| settings.unread_timeout = Duration::from_millis(500)).await;
    let word = Step::Repeat { times: usize::MAX, steps: vec![Step::text("word"), Step::WaitMs(20)] };
    let model = harness.emulator.register("words", Script::of([word]));
    // Not even the first chunk fits into the window.
    let endpoint = Endpoint::from_shared(harness.endpoint.clone()).unwrap().initial_stream_window_size(16);
    let client = Client::over(endpoint.connect().await.unwrap());
    let unread = open(&client, &model).await.unwrap();
    harness.counted("streams_failed_total", &["UNREAD_TIMEOUT"], 1).await;
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    drop(unread);
}
