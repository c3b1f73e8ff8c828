//! A Bedrock with a quota: calls reserve what it will reserve, go where there is room, wait, or are refused before Bedrock refuses them.

mod callers;
mod minute;
mod servers;

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use bedrock_emulator::{Quota, Script, Step};
use outcrop::{
    config::Settings,
    failover::routes::Routes,
    quota::settings::{ModelQuota, Price},
};
use outcrop_client::proto::{
    AbandonmentMode, CreateConversationRequest, GenerateRequest, InferenceConfiguration, QuotaWait, chunk::Event,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::harness::{Harness, finish_of, request, soon, start_of};

const HERE: &str = "us-east-1";
const ELSEWHERE: &str = "us-west-2";

/// A request with this maximum of output tokens.
fn asks(model: &str, max_tokens: i32) -> GenerateRequest {
    let config = InferenceConfiguration { max_tokens: Some(max_tokens), ..InferenceConfiguration::default() };
    GenerateRequest { inference_config: Some(config), ..request(model) }
}

/// An answer that takes this long and reports these tokens.
fn uses(input: u32, output: u32, runs: Duration) -> Script {
    let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output});
    Script::of([
        Step::message_start(),
        Step::text("a"),
        Step::WaitMs(u64::try_from(runs.as_millis()).unwrap()),
        Step::message_stop("end_turn"),
        Step::event("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}})),
    ])
}

fn quota(model: &str, tokens: u64) -> ModelQuota {
    ModelQuota { tokens_per_minute: NonZeroU64::new(tokens), burst_percent: 100, ..ModelQuota::of(model) }
}

/// A server that knows these quotas, and makes one attempt.
async fn with_quotas(quotas: impl Into<Vec<ModelQuota>>, change: impl FnOnce(&mut Settings)) -> Harness {
    Harness::with(|settings| {
        settings.attempts = 1;
        settings.quotas.quotas = quotas.into();
        change(settings);
    })
    .await
}

#[tokio::test]
async fn start_says_what_was_reserved_and_finish_what_was_charged_and_what_it_costs() {
    let quota = ModelQuota { output_burndown: 5, ..quota("emulator.one", 10_000) };
    let harness = with_quotas([quota], |settings| {
        let price = Price { input: 3_000_000, output: 15_000_000, ..Price::default() };
        settings.quotas.prices.insert("emulator.one".to_owned(), price);
    })
    .await;
    let model = harness.emulator.register("one", uses(100, 20, Duration::ZERO));
    let chunks = harness.ask(asks(&model, 1_000)).await.whole();
    let reserved = start_of(&chunks).quota_tokens_reserved.unwrap();
    assert!((1_001..1_010).contains(&reserved), "the maximum and a short prompt: {reserved}");
    let finish = finish_of(&chunks);
    assert_eq!((finish.quota_tokens_charged, finish.cost_micros), (Some(200), Some(600)));
    let listed = harness.client.quotas().await.unwrap().model_quotas.remove(0);
    let tokens = listed.tokens_per_minute.unwrap();
    assert_eq!((listed.model_id.as_str(), listed.region.as_str()), (model.as_str(), HERE));
    assert_eq!((tokens.limit, tokens.share, tokens.reserved, tokens.used), (10_000, 10_000, 0, 200));
    assert!(tokens.free >= 9_800, "{tokens:?}");
    let other = harness.emulator.register("no-quota", Script::reply("a"));
    let chunks = harness.ask(request(&other)).await.whole();
    assert_eq!((start_of(&chunks).quota_tokens_reserved, finish_of(&chunks).cost_micros), (None, None));
}

#[tokio::test]
async fn a_call_goes_to_the_region_that_has_room_before_bedrock_has_to_refuse_it() {
    let route = |settings: &mut Settings| {
        let route = format!("emulator.routed=emulator.routed@{HERE},emulator.routed@{ELSEWHERE}");
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        settings.quotas.queue_time = Duration::ZERO;
    };
    let quotas = [HERE, ELSEWHERE]
        .map(|region| ModelQuota { region: Some(region.to_owned()), ..quota("emulator.routed", 1_000) });
    let harness = with_quotas(quotas, route).await;
    let model = harness.emulator.register("routed", uses(1, 1, Duration::from_secs(3)));
    for region in [HERE, ELSEWHERE] {
        harness.emulator.set_quota(&model, Some(region), Quota { tokens: Some(1_000), ..Quota::default() }).unwrap();
    }
    let (first, second) = tokio::join!(harness.ask(asks(&model, 900)), async {
        sleep(Duration::from_millis(500)).await;
        harness.ask(asks(&model, 900)).await
    });
    let regions = [first.whole(), second.whole()].map(|chunks| start_of(&chunks).region.clone());
    assert_eq!(regions, [HERE, ELSEWHERE]);
    for region in [HERE, ELSEWHERE] {
        let usage = harness.emulator.quota_usage(&model, Some(region)).unwrap();
        assert_eq!((usage.requests, usage.throttled), (1, 0), "{usage:?}");
    }
}

/// The waits that heartbeats have told of.
fn waits(chunks: &[outcrop_client::proto::Chunk]) -> Vec<QuotaWait> {
    let heartbeats = chunks.iter().filter_map(|chunk| match &chunk.event {
        Some(Event::Heartbeat(heartbeat)) => heartbeat.quota_wait,
        _ => None,
    });
    heartbeats.collect()
}

#[tokio::test]
async fn a_call_waits_for_quota_and_heartbeats_tell_its_place() {
    let harness = with_quotas([quota("emulator.busy", 6_000)], |_| {}).await;
    let model = harness.emulator.register("busy", uses(1, 5_999, Duration::ZERO));
    harness.ask(asks(&model, 5_950)).await.whole();
    let heartbeat_interval = Duration::from_millis(100).try_into().ok();
    let began = Instant::now();
    let chunks = harness.ask(GenerateRequest { heartbeat_interval, ..asks(&model, 100) }).await.whole();
    assert!(began.elapsed() >= Duration::from_millis(500), "100 tokens a second come");
    let waits = waits(&chunks);
    assert!(waits.len() >= 3 && waits.iter().all(|wait| wait.position == 1), "{waits:?}");
    assert!(waits[0].estimated_wait.is_some_and(|wait| wait.seconds <= 2), "{waits:?}");
    assert_eq!(harness.count("queue_wait_seconds_count", &["outcome=\"admitted\""]), 1);
}

#[tokio::test]
async fn a_call_that_finds_no_room_in_time_is_told_when_there_will_be_and_never_reaches_bedrock() {
    let harness = with_quotas([quota("emulator.full", 1_000)], |settings| {
        settings.quotas.queue_time = Duration::from_millis(200);
    })
    .await;
    let model = harness.emulator.register("full", uses(1, 1_000, Duration::ZERO));
    harness.ask(asks(&model, 990)).await.whole();
    let requests = harness.emulator.stats().requests;
    let (chunks, error) = harness.ask(asks(&model, 600)).await.failed();
    assert!(chunks.is_empty());
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "QUOTA_EXHAUSTED"));
    let retry = error.retry_delay.unwrap();
    assert!((30..=40).contains(&retry.as_secs()), "600 of 1,000 a minute: {retry:?}");
    assert!(error.message.contains("--quota-queue-time") && error.message.contains("max_tokens"), "{}", error.message);
    let (_, error) = harness.ask(asks(&model, 2_000)).await.failed();
    assert!(error.message.contains("smaller than one request"), "{}", error.message);
    assert_eq!(error.retry_delay, None);
    assert_eq!(harness.emulator.stats().requests, requests);
}

#[tokio::test]
async fn a_caller_that_leaves_the_queue_holds_nothing_and_the_next_one_begins() {
    let harness = with_quotas([quota("emulator.left", 6_000)], |_| {}).await;
    let model = harness.emulator.register("left", uses(1, 6_000, Duration::ZERO));
    harness.ask(asks(&model, 5_900)).await.whole();
    let waiting = tokio::time::timeout(Duration::from_millis(300), harness.ask(asks(&model, 5_000))).await;
    assert!(waiting.is_err(), "it needs 50 s");
    let none_waits = async {
        while harness.client.quotas().await.unwrap().model_quotas[0].waiting_calls > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(none_waits).await;
    soon(harness.ask(asks(&model, 100))).await.whole();
}

#[tokio::test]
async fn a_caller_that_leaves_the_queue_leaves_it_at_once_although_its_answer_would_be_drained() {
    let harness = with_quotas([quota("emulator.drained", 6_000)], |settings| {
        settings.quotas.queue_time = Duration::from_mins(10);
    })
    .await;
    let model = harness.emulator.register("drained", uses(1, 6_000, Duration::ZERO));
    harness.ask(asks(&model, 5_900)).await.whole();
    let asks = GenerateRequest { abandonment_mode: AbandonmentMode::Drain.into(), ..asks(&model, 5_000) };
    assert!(tokio::time::timeout(Duration::from_millis(300), harness.ask(asks)).await.is_err(), "it needs 50 s");
    let none_waits = async {
        while harness.client.quotas().await.unwrap().model_quotas[0].waiting_calls > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(none_waits).await;
}

#[tokio::test]
async fn a_throttle_of_bedrock_lowers_what_is_spent_and_its_retry_after_is_kept() {
    let harness = with_quotas([quota("emulator.throttled", 600_000)], |settings| {
        settings.quotas.queue_time = Duration::from_millis(100);
    })
    .await;
    let throttle = Script::refuse(429, "ThrottlingException", "Too many tokens").header("retry-after", "3");
    let model = harness.emulator.register_sequence("throttled", [throttle, Script::reply("a")]);
    let (_, error) = harness.ask(asks(&model, 100)).await.failed();
    assert_eq!(error.reason, "BEDROCK_THROTTLED");
    let listed = harness.client.quotas().await.unwrap().model_quotas.remove(0);
    assert!(listed.safe_share < 0.82 && listed.throttled_calls == 1, "{listed:?}");
    let (_, error) = harness.ask(asks(&model, 100)).await.failed();
    assert_eq!(error.reason, "QUOTA_EXHAUSTED", "nothing is sent for 3 s");
    assert!(error.retry_delay.is_some_and(|wait| wait > Duration::from_secs(1)), "{:?}", error.retry_delay);
    assert_eq!(harness.emulator.stats().requests, 1);
}

#[tokio::test]
async fn streams_are_a_quota_too_and_a_stream_that_ends_makes_room() {
    let streams = NonZeroU32::new(1);
    let harness = with_quotas([ModelQuota { streams, ..ModelQuota::of("emulator.streams") }], |_| {}).await;
    let model = harness.emulator.register("streams", uses(1, 1, Duration::from_millis(400)));
    let (one, two) = tokio::join!(harness.ask(request(&model)), harness.ask(request(&model)));
    one.whole();
    two.whole();
    let highest = harness.client.quotas().await.unwrap().model_quotas.remove(0).streams.unwrap();
    assert_eq!((highest.limit, highest.reserved, highest.free), (1, 0, 1));
}

#[tokio::test]
async fn a_cache_key_keeps_requests_at_the_target_that_answered_the_last_one() {
    let harness = with_quotas([quota("emulator.east", 1_000), quota("emulator.west", 100_000)], |settings| {
        settings.rules.routes = Routes::parse(&["both=emulator.east,emulator.west".to_owned()], 3).unwrap();
        settings.quotas.queue_time = Duration::ZERO;
    })
    .await;
    harness.emulator.register("east", uses(1, 1, Duration::from_secs(2)));
    harness.emulator.register("west", uses(1, 1, Duration::ZERO));
    let keyed = |key: &str| GenerateRequest { cache_key: key.to_owned(), ..asks("both", 900) };
    let model = |chunks: &[_]| start_of(chunks).model_id.clone();
    let (held, first) = tokio::join!(harness.ask(asks("both", 900)), async {
        sleep(Duration::from_millis(500)).await;
        harness.ask(keyed("document")).await
    });
    assert_eq!((model(&held.whole()), model(&first.whole())), ("emulator.east".to_owned(), "emulator.west".to_owned()));
    assert_eq!(model(&harness.ask(keyed("document")).await.whole()), "emulator.west", "its cache is there");
    assert_eq!(model(&harness.ask(keyed("another")).await.whole()), "emulator.east", "the first of the route has room");
}

#[tokio::test]
async fn a_conversation_stays_in_the_region_that_answered_its_last_turn() {
    let route = format!("emulator.talk=emulator.talk@{HERE},emulator.talk@{ELSEWHERE}");
    let quotas =
        [HERE, ELSEWHERE].map(|region| ModelQuota { region: Some(region.to_owned()), ..quota("emulator.talk", 1_000) });
    let harness = with_quotas(quotas, |settings| {
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        settings.conversations = outcrop::conversation::settings::ConversationSettings::Memory;
    })
    .await;
    let model = harness.emulator.register("talk", uses(1, 1, Duration::from_secs(1)));
    let id = harness.client.create_conversation(CreateConversationRequest::default()).await.unwrap().conversation_id;
    let turn = || GenerateRequest { conversation_id: id.clone(), ..asks(&model, 900) };
    let (_first, second) = tokio::join!(harness.ask(asks(&model, 900)), async {
        sleep(Duration::from_millis(300)).await;
        harness.ask(turn()).await
    });
    assert_eq!(start_of(&second.whole()).region, ELSEWHERE);
    assert_eq!(start_of(&harness.ask(turn()).await.whole()).region, ELSEWHERE, "although the first has room again");
    assert_eq!(harness.client.conversation(&id).await.unwrap().1[0].region, ELSEWHERE);
}
