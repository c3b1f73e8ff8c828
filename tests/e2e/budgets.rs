//! Budgets of callers: what a call reserves and costs, the refusal without room, what ListQuotas and the operator see, and a restart.

use std::{
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use bedrock_emulator::{Script, Step};
use outcrop::{
    config::Settings,
    conversation::settings::ConversationSettings,
    failover::routes::Routes,
    identity::settings::IdentitySettings,
    quota::settings::{Budget, ModelQuota, Price},
};
use outcrop_client::{
    CallError, ClientError,
    proto::{CallerQuota, CallerQuotaKind, GenerateRequest, InferenceConfiguration},
};
use tonic::Code;

use crate::{
    callers::Caller,
    harness::{Harness, request, soon},
};

/// A server with one caller that has this budget, and a client with its key.
async fn serving(budget: Budget, change: impl FnOnce(&mut Settings)) -> Harness {
    let mut billing = Caller::new("billing");
    billing.settings.budget = budget;
    let key = billing.key.clone();
    let callers = vec![billing.settings, Caller::new("other").settings];
    Harness::connecting(
        |settings| {
            settings.attempts = 2;
            settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
            settings.metrics_listen = Some(([127, 0, 0, 1], 0).into());
            change(settings);
        },
        |client| client.api_key(key.into()).insecure_key_over_plaintext(),
    )
    .await
}

fn tokens_a_day(tokens: u64) -> Budget {
    Budget { tokens_per_day: NonZeroU64::new(tokens), ..Budget::default() }
}

/// A request that can generate so many tokens. Its prompt is estimated as one.
fn generating(model: &str, max_tokens: i32) -> GenerateRequest {
    let config = InferenceConfiguration { max_tokens: Some(max_tokens), ..InferenceConfiguration::default() };
    GenerateRequest { inference_config: Some(config), ..request(model) }
}

/// An answer that has used these tokens.
fn using(input: u32, output: u32) -> Script {
    Script::of([Step::message_start(), Step::text("a"), Step::message_stop("end_turn"), Step::metadata(input, output)])
}

/// Limit, reserved, used and free of a budget, as ListQuotas has them.
async fn listed(harness: &Harness, kind: CallerQuotaKind) -> Option<[u64; 4]> {
    let quotas = harness.client.quotas().await.unwrap().caller_quotas;
    let usage = quotas.iter().find(|quota| quota.kind() == kind)?.usage.unwrap();
    Some([usage.limit, usage.reserved, usage.used, usage.free])
}

async fn of_day(harness: &Harness) -> [u64; 4] {
    listed(harness, CallerQuotaKind::TokensPerDay).await.unwrap()
}

async fn refused(harness: &Harness, request: GenerateRequest) -> CallError {
    let requests = harness.emulator.stats().requests;
    let (chunks, error) = harness.ask(request).await.failed();
    assert!(chunks.is_empty());
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "BUDGET_EXHAUSTED"), "{error}");
    assert_eq!(harness.emulator.stats().requests, requests, "Bedrock is not asked");
    error
}

#[tokio::test]
async fn a_call_without_room_in_the_budget_is_told_what_is_used_and_when_the_day_ends() {
    let harness = serving(tokens_a_day(1_000), |_| {}).await;
    let model = harness.emulator.register("used", using(300, 200));
    harness.ask(generating(&model, 900)).await.whole();
    assert_eq!(of_day(&harness).await, [1_000, 0, 500, 500]);
    let error = refused(&harness, generating(&model, 500)).await;
    for part in
        ["caller:billing can use 1000 tokens a day (budget.tokens_per_day)", "500 tokens are used", "reserves 501"]
    {
        assert!(error.message.contains(part), "{part} in {error}");
    }
    let quota = error.quota.unwrap();
    assert_eq!(quota.subject, "caller:billing");
    let until_midnight = error.retry_delay.unwrap();
    assert!(until_midnight <= Duration::from_hours(24), "{until_midnight:?}");
    harness.ask(generating(&model, 499)).await.whole();
    let error = refused(&harness, generating(&model, 2_000)).await;
    assert!(error.message.contains("more than the whole budget") && error.retry_delay.is_none(), "{error}");
    assert!(harness.count("calls_refused_total", &["BUDGET_EXHAUSTED"]) == 2);
}

#[tokio::test]
async fn a_call_that_bedrock_refuses_costs_nothing_and_one_that_is_left_costs_its_reservation() {
    let harness = serving(tokens_a_day(1_000), |settings| settings.attempts = 1).await;
    harness.emulator.register("no", Script::refuse(429, "ThrottlingException", "no"));
    harness.ask(generating("emulator.no", 100)).await.failed();
    assert_eq!(of_day(&harness).await, [1_000, 0, 0, 1_000]);
    let chunks = soon(harness.client.generate(generating("emulator.endless", 100))).await.unwrap();
    assert_eq!(of_day(&harness).await, [1_000, 101, 0, 899]);
    drop(chunks);
    harness.counted("streams_abandoned_total", &[], 1).await;
    assert_eq!(of_day(&harness).await, [1_000, 0, 101, 899]);
    harness.ask(generating("a model", 1)).await.failed();
    assert_eq!(of_day(&harness).await[2], 101, "a request that is not valid");
}

#[tokio::test]
async fn a_call_that_waits_for_quota_has_cost_nothing_when_its_caller_leaves() {
    let harness = serving(tokens_a_day(1_000), |settings| {
        let quota = ModelQuota { streams: NonZeroU32::new(1), ..ModelQuota::of("emulator.endless") };
        settings.quotas.quotas = vec![quota];
        settings.quotas.queue_time = Duration::from_mins(1);
    })
    .await;
    let running = soon(harness.client.generate(generating("emulator.endless", 100))).await.unwrap();
    let client = harness.client.clone();
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { client.generate(generating("emulator.endless", 200)).await.map(drop) });
    let reserved = async { while of_day(&harness).await != [1_000, 302, 0, 698] {} };
    soon(reserved).await;
    let page = page(&harness).await;
    assert_eq!(page["callers"]["billing"]["waitingCalls"], 1, "{page}");
    assert_eq!(page["modelQuotas"][0]["waitingCalls"], 1, "{page}");
    waiting.shutdown().await;
    soon(async { while of_day(&harness).await != [1_000, 101, 0, 899] {} }).await;
    drop(running);
}

#[tokio::test]
async fn money_is_reserved_at_the_dearest_target_and_spent_at_the_price_of_the_one_that_answered() {
    let budget = Budget { cost_per_month: NonZeroU64::new(1_000), ..Budget::default() };
    let harness = serving(budget, |settings| {
        let route = "smart=emulator.dear,emulator.cheap@us-west-2".to_owned();
        settings.rules.routes = Routes::parse(&[route], 3).unwrap();
        let price = |input, output| Price { input, output, cache_read: 0, cache_write: 0 };
        let prices = [("dear", price(10_000_000, 20_000_000)), ("cheap", price(1_000_000, 2_000_000))];
        settings.quotas.prices = prices.map(|(model, price)| (format!("emulator.{model}"), price)).into();
    })
    .await;
    harness.emulator.register("dear", Script::refuse(429, "ThrottlingException", "no"));
    harness.emulator.register_in("cheap", "us-west-2", [using(100, 50)]);
    let chunks = harness.ask(generating("smart", 49)).await.whole();
    assert_eq!(crate::harness::finish_of(&chunks).cost_micros, Some(200));
    let month = async || listed(&harness, CallerQuotaKind::CostMicrosPerMonth).await;
    assert_eq!(month().await, Some([1_000, 0, 200, 800]));
    // 10 of input and 20 each of output.
    let error = refused(&harness, generating("smart", 40)).await;
    assert!(error.message.contains("0.0002 are used and 0 reserved"), "{error}");
    assert!(error.message.contains("This request reserves 0.00081"), "{error}");
    let error = refused(&harness, generating("emulator.tools", 1)).await;
    assert!(error.message.contains("no price of emulator.tools"), "{error}");
}

#[tokio::test]
async fn calls_at_once_never_reserve_more_than_the_budget() {
    let harness = serving(tokens_a_day(1_000), |settings| settings.attempts = 1).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let client = harness.client.clone();
        calls.spawn(async move { client.generate(generating("emulator.endless", 99)).await });
    }
    let (mut open, mut refused) = (Vec::new(), 0);
    while let Some(call) = soon(calls.join_next()).await {
        match call.unwrap() {
            Ok(chunks) => open.push(chunks),
            Err(ClientError::Call(error)) if error.reason == "BUDGET_EXHAUSTED" => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((open.len(), refused), (10, 30));
    assert_eq!(of_day(&harness).await, [1_000, 1_000, 0, 0]);
}

/// The page of the operator.
async fn page(harness: &Harness) -> serde_json::Value {
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let at = harness.metrics_address.unwrap();
    let request = http::Request::get(format!("http://{at}/quotas"));
    let answer = http.request(request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_caller_sees_its_own_limits_and_the_operator_those_of_all() {
    let harness = serving(tokens_a_day(1_000), |settings| {
        settings.limits.requests_per_minute = NonZeroU32::new(60);
        settings.limits.tokens_per_minute = NonZeroU32::new(5_000);
        let tokens_per_minute = NonZeroU64::new(10_000);
        settings.quotas.quotas = vec![ModelQuota { tokens_per_minute, ..ModelQuota::of("emulator.endless") }];
    })
    .await;
    let _running = soon(harness.client.generate(generating("emulator.endless", 99))).await.unwrap();
    let quotas = harness.client.quotas().await.unwrap().caller_quotas;
    let seen = |CallerQuota { kind, usage, reset_time }: &CallerQuota| {
        let usage = usage.unwrap();
        let kind = CallerQuotaKind::try_from(*kind).unwrap().as_str_name();
        // A limit by the minute refills while the test runs.
        (kind, [usage.limit, usage.share, usage.reserved, usage.used + usage.free], reset_time.is_some())
    };
    assert_eq!(
        quotas.iter().map(seen).collect::<Vec<_>>(),
        [
            ("CALLER_QUOTA_KIND_STREAMS", [1_000, 1_000, 1, 999], false),
            ("CALLER_QUOTA_KIND_REQUESTS_PER_MINUTE", [60, 60, 0, 60], false),
            ("CALLER_QUOTA_KIND_TOKENS_PER_MINUTE", [5_000, 5_000, 0, 5_000], false),
            ("CALLER_QUOTA_KIND_TOKENS_PER_DAY", [1_000, 1_000, 100, 900], true),
        ]
    );
    assert!(quotas[2].usage.unwrap().used > 0, "{quotas:?}");
    let page = page(&harness).await;
    assert_eq!(page["modelQuotas"][0]["modelId"], "emulator.endless", "{page}");
    assert_eq!(page["modelQuotas"][0]["tokensPerMinute"]["limit"], 10_000, "{page}");
    assert_eq!(page["sharing"], "QUOTA_SHARING_NONE");
    let callers = page["callers"].as_object().unwrap();
    assert_eq!(callers.keys().collect::<Vec<_>>(), ["billing", "other"]);
    assert_eq!(callers["billing"]["waitingCalls"], 0);
    let budget = &callers["billing"]["callerQuotas"][3];
    assert_eq!(budget["kind"], "CALLER_QUOTA_KIND_TOKENS_PER_DAY");
    assert_eq!((&budget["usage"]["reserved"], &budget["usage"]["used"]), (&100.into(), &0.into()));
    assert!(budget["resetTime"].as_str().unwrap().ends_with("T00:00:00Z"), "{budget}");
    assert_eq!(callers["other"]["callerQuotas"].as_array().unwrap().len(), 3, "{page}");
    let labels = ["caller=\"billing\"", "budget=\"tokens_per_day\""];
    assert_eq!(harness.count("budget_limit", &labels), 1_000);
    assert_eq!(harness.count("budget_reserved", &labels), 100);
    assert_eq!(harness.count("quota_limit", &["model=\"emulator.endless\"", "quota=\"tokens\""]), 10_000);
}

/// Stops a server gracefully.
async fn stop(mut harness: Harness) {
    harness.begin_shutdown();
    harness.ended().await;
}

#[tokio::test]
async fn what_was_spent_survives_a_restart_with_a_file_and_not_without() {
    let path: PathBuf = std::env::temp_dir().join(format!("outcrop-e2e-budgets-{}.redb", std::process::id()));
    let file = ConversationSettings::File(path.clone());
    for (conversations, kept) in [(file, 500), (ConversationSettings::Memory, 0), (ConversationSettings::Off, 0)] {
        let start = || serving(tokens_a_day(1_000), |settings| settings.conversations = conversations.clone());
        let harness = start().await;
        let model = harness.emulator.register("used", using(300, 200));
        harness.ask(generating(&model, 900)).await.whole();
        stop(harness).await;
        let harness = start().await;
        assert_eq!(of_day(&harness).await, [1_000, 0, kept, 1_000 - kept], "{conversations:?}");
        stop(harness).await;
    }
    std::fs::remove_file(&path).unwrap();
}
