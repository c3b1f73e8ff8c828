//! Tests of the ledger as a whole: reserve, wait, settle.

mod affinity;
mod fairness;
mod minute;
mod reload;
mod simulation;
mod waiting;

use std::{num::NonZeroU64, time::Duration};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep, timeout},
};

use super::{
    demand::Demand,
    ledger::{Granted, Ledger, waiting::WaitingCall},
    settings::{ModelQuota, QueueShare, QuotaSettings},
    slots::Share,
};
use crate::{
    admission::{
        client::{Client, ClientId},
        estimate::Estimate,
    },
    error::{Error, Phase, Reason},
    event::Used,
    failover::routes::Target,
    proto::{ContentBlock, GenerateRequest, InferenceConfiguration, Message, content_block::Block},
};

fn client(name: &str) -> Client {
    Client::of(ClientId::Caller(name.into()))
}

/// What a request with no input and this maximum asks for.
fn demand(client: &Client, max_tokens: i32) -> Demand {
    demand_with("", client, max_tokens)
}

/// What a request with this prompt and this maximum asks for.
fn demand_with(prompt: &str, client: &Client, max_tokens: i32) -> Demand {
    let config = InferenceConfiguration { max_tokens: Some(max_tokens), ..InferenceConfiguration::default() };
    let content = vec![ContentBlock { block: Some(Block::Text(prompt.to_owned())) }];
    let messages = vec![Message { role: 1, content }];
    let request = GenerateRequest { messages, inference_config: Some(config), ..GenerateRequest::default() };
    Demand::of(client, Estimate::of(&request), false)
}

fn quota(model: &str, tokens: u64) -> ModelQuota {
    ModelQuota { tokens_per_minute: NonZeroU64::new(tokens), burst_percent: 100, ..ModelQuota::of(model) }
}

fn settings(quotas: impl Into<Vec<ModelQuota>>) -> QuotaSettings {
    QuotaSettings { quotas: quotas.into(), ..QuotaSettings::default() }
}

fn ledger(quotas: impl Into<Vec<ModelQuota>>) -> Ledger {
    Ledger::new("us-east-1", &settings(quotas))
}

async fn reserve(ledger: &Ledger, targets: &[Target], demand: &Demand) -> Result<Granted, Error> {
    let targets: Vec<_> = targets.iter().collect();
    ledger.reserve(&targets, demand, |_: Option<WaitingCall>| {}).await
}

fn used(input: u32, output: u32) -> Used {
    Used { input, output, ..Used::default() }
}

/// Runs this while the ledger gives what comes with time.
async fn with<T>(ledger: &Ledger, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = ledger.run() => unreachable!(),
        done = work => done,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_reserves_its_maximum_and_gives_back_what_it_has_not_used() {
    let (ledger, target, caller) = (ledger([quota("a.b", 1_000)]), [Target::here("a.b")], client("one"));
    let mut first = reserve(&ledger, &target, &demand(&caller, 900)).await.unwrap().reservation.unwrap();
    assert_eq!(first.tokens(), 900);
    assert!(reserve(&ledger, &target, &demand(&caller, 900)).now_or_never().is_none(), "there are 100");
    first.sent();
    assert_eq!(first.settle(used(0, 100)), 100);
    assert_eq!(first.settle(used(0, 900)), 900, "a second settlement says what it would cost, and changes nothing");
    assert!(reserve(&ledger, &target, &demand(&caller, 900)).now_or_never().is_some(), "900 are there again");
}

#[tokio::test(start_paused = true)]
async fn what_output_burns_beyond_the_reservation_is_owed() {
    let quota = ModelQuota { output_burndown: 5, ..quota("a.b", 600) };
    let (ledger, target, caller) = (ledger([quota]), [Target::here("a.b")], client("one"));
    let mut first = reserve(&ledger, &target, &demand(&caller, 100)).await.unwrap().reservation.unwrap();
    first.sent();
    assert_eq!(first.settle(used(0, 100)), 500);
    let began = Instant::now();
    let next = with(&ledger, reserve(&ledger, &target, &demand(&caller, 110))).await;
    assert!(next.is_ok());
    assert_eq!(began.elapsed(), Duration::from_secs(1), "100 were left, and 10 a second come");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_was_not_sent_is_given_back_and_one_that_was_stands() {
    let requests = NonZeroU64::new(10);
    let quota = ModelQuota { requests_per_minute: requests, ..quota("a.b", 1_000) };
    let (ledger, target, caller) = (ledger([quota]), [Target::here("a.b")], client("one"));
    let free = || {
        let listed = ledger.list(&caller.id).remove(0);
        (listed.tokens_per_minute.unwrap().free, listed.requests_per_minute.unwrap().free)
    };
    drop(reserve(&ledger, &target, &demand(&caller, 400)).await.unwrap());
    assert_eq!(free(), (1_000, 10));
    assert_eq!(ledger.list(&caller.id)[0].requests_per_minute.unwrap().used, 0);
    let mut sent = reserve(&ledger, &target, &demand(&caller, 400)).await.unwrap().reservation.unwrap();
    sent.sent();
    drop(sent);
    assert_eq!(free(), (600, 9));
    for (reason, left) in [(Reason::UpstreamUnreachable, 600), (Reason::BedrockThrottled, 0)] {
        let mut failed = reserve(&ledger, &target, &demand(&caller, 400)).await.unwrap().reservation.unwrap();
        failed.sent();
        failed.failed(&Error::new(reason, "scripted"), Phase::BeforeContent);
        assert_eq!(free().0, left, "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_in_the_middle_of_an_answer_is_one_too_and_costs_the_reservation() {
    let (ledger, target, caller) = (ledger([quota("a.b", 1_000)]), [Target::here("a.b")], client("one"));
    let mut broken = reserve(&ledger, &target, &demand(&caller, 400)).await.unwrap().reservation.unwrap();
    broken.sent();
    broken.failed(&Error::new(Reason::BedrockThrottled, "scripted"), Phase::AfterContent);
    let listed = ledger.list(&caller.id).remove(0);
    let tokens = listed.tokens_per_minute.unwrap();
    assert_eq!((listed.throttled_calls, tokens.used, tokens.reserved, tokens.free), (1, 400, 0, 0));
    assert!(listed.safe_share < 1.0, "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_the_target_that_has_room_and_waits_when_none_has() {
    let (ledger, caller) = (ledger([quota("a.b", 600), quota("c.d", 600)]), client("one"));
    let targets = [Target::here("a.b"), Target::here("c.d")];
    let mut held = Vec::new();
    for at in [0, 1] {
        let granted = reserve(&ledger, &targets, &demand(&caller, 600)).await.unwrap();
        assert_eq!(granted.at, at);
        held.push(granted);
    }
    let began = Instant::now();
    let third = with(&ledger, reserve(&ledger, &targets, &demand(&caller, 50))).await.unwrap();
    assert!(third.reservation.is_some() && began.elapsed() == Duration::from_secs(5), "{:?}", began.elapsed());
    let other = [Target::here("a.b"), Target::here("no.quota")];
    let free = reserve(&ledger, &other, &demand(&caller, 600)).await.unwrap();
    assert!(free.at == 1 && free.reservation.is_none(), "a target without a quota always has room");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_with_the_time_after_which_there_is_room() {
    let (ledger, target, caller) = (ledger([quota("a.b", 600)]), [Target::here("a.b")], client("one"));
    let _held = reserve(&ledger, &target, &demand(&caller, 600)).await.unwrap();
    let error = with(&ledger, reserve(&ledger, &target, &demand(&caller, 500))).await.unwrap_err();
    assert_eq!(error.reason(), Reason::QuotaExhausted);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)), "50 s in all, of which 10 s have passed");
    assert!(error.to_string().contains("--quota-queue-time"), "{error}");
    let error = reserve(&ledger, &target, &demand(&caller, 601)).await.unwrap_err();
    assert!(error.to_string().contains("smaller than one request"), "{error}");
    assert_eq!(error.retry_after(), None);
    assert_eq!(ledger.list(&caller.id)[0].waiting_calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_a_little_for_the_target_that_has_its_cache() {
    let (ledger, caller) = (ledger([quota("a.b", 600), quota("c.d", 600)]), client("one"));
    let targets = [Target::here("a.b"), Target::here("c.d")];
    let preferring = |model: &str, tokens| Demand { preferred: Some(Target::here(model)), ..demand(&caller, tokens) };
    let first = reserve(&ledger, &targets, &preferring("c.d", 590)).await.unwrap();
    assert_eq!(first.at, 1, "it has room");
    let began = Instant::now();
    let second = with(&ledger, reserve(&ledger, &targets, &preferring("c.d", 20))).await.unwrap();
    assert_eq!((second.at, began.elapsed()), (1, Duration::from_secs(1)), "a second is worth the cache");
    let third = with(&ledger, reserve(&ledger, &targets, &preferring("c.d", 30))).await.unwrap();
    assert_eq!((third.at, began.elapsed()), (0, Duration::from_secs(1)), "three seconds are not");
    ledger
        .follow(&QuotaSettings { cache_affinity: Duration::ZERO, ..settings([quota("a.b", 600), quota("c.d", 600)]) });
    assert_eq!(reserve(&ledger, &targets, &preferring("c.d", 1)).await.unwrap().at, 0, "the preference is off");
}

#[tokio::test(start_paused = true)]
async fn throttles_lower_what_is_spent_and_time_raises_it() {
    let (ledger, target, caller) = (ledger([quota("a.b", 6_000)]), [Target::here("a.b")], client("one"));
    let mut held = reserve(&ledger, &target, &demand(&caller, 10)).await.unwrap().reservation.unwrap();
    held.sent();
    let throttle = Error::new(Reason::BedrockThrottled, "scripted").with_retry_after(Some(Duration::from_secs(3)));
    held.failed(&throttle, Phase::BeforeContent);
    let began = Instant::now();
    let next = with(&ledger, reserve(&ledger, &target, &demand(&caller, 10))).await;
    assert!(
        next.is_ok() && began.elapsed() >= Duration::from_secs(3),
        "Bedrock has asked for 3 s: {:?}",
        began.elapsed()
    );
    let listed = |ledger: &Ledger| ledger.list(&caller.id).remove(0);
    assert!((listed(&ledger).safe_share - 0.805).abs() < 0.001, "{:?}", listed(&ledger));
    advance(Duration::from_mins(2)).await;
    assert!((listed(&ledger).safe_share - 1.0).abs() < f64::EPSILON);
    assert_eq!(listed(&ledger).throttled_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_knows_its_place_and_about_how_long() {
    let (ledger, target) = (ledger([quota("a.b", 600)]), [Target::here("a.b")]);
    let _held = reserve(&ledger, &target, &demand(&client("one"), 600)).await.unwrap();
    let (one, two) = (demand(&client("one"), 20), demand(&client("two"), 20));
    let seen = std::cell::RefCell::new(None);
    let targets = [&target[0]];
    let mut first = Box::pin(reserve(&ledger, &target, &one));
    let mut second = Box::pin(ledger.reserve(&targets, &two, |waiting| *seen.borrow_mut() = waiting));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    let status = seen.borrow().as_ref().unwrap().status().unwrap();
    assert_eq!((status.position, status.estimated_wait.unwrap().seconds), (2, 4));
    drop(first);
    let status = seen.borrow().as_ref().unwrap().status().unwrap();
    assert_eq!((status.position, status.estimated_wait.unwrap().seconds), (1, 2));
    assert_eq!(ledger.list(&client("two").id)[0].own_waiting_calls, 1);
    drop(second);
    assert_eq!(ledger.list(&client("two").id)[0].waiting_calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_lets_waiting_calls_go_on_with_what_is_configured_now() {
    let (ledger, target, caller) = (ledger([quota("a.b", 600)]), [Target::here("a.b")], client("one"));
    let held = reserve(&ledger, &target, &demand(&caller, 600)).await.unwrap();
    let asks = demand(&caller, 100);
    let mut waits = Box::pin(reserve(&ledger, &target, &asks));
    assert!(waits.as_mut().now_or_never().is_none());
    ledger.follow(&settings([quota("a.b", 1_000)]));
    assert!(waits.as_mut().now_or_never().is_none(), "what was taken stays taken");
    ledger.follow(&settings([]));
    assert!(waits.await.unwrap().reservation.is_none(), "the quota is gone");
    ledger.follow(&settings([quota("a.b", 100)]));
    drop(held);
    assert_eq!(ledger.list(&caller.id)[0].tokens_per_minute.unwrap().free, 100, "an old reservation is not counted");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_one_caller_has_a_quarter_of_it() {
    let ledger = Ledger::new("us-east-1", &QuotaSettings { queue_length: 8, ..settings([quota("a.b", 600)]) });
    let target = [Target::here("a.b")];
    let _held = reserve(&ledger, &target, &demand(&client("0"), 600)).await.unwrap();
    let mut calls = JoinSet::new();
    for name in ["1", "1", "1", "2", "2", "3", "3", "4", "4", "5"] {
        let (ledger, target) = (ledger.clone(), target.clone());
        calls.spawn(
            async move { reserve(&ledger, &target, &demand(&client(name), 500)).await.unwrap_err().to_string() },
        );
    }
    let mut refusals: Vec<_> =
        calls.join_all().await.iter().map(|text| text.split(" (--").next().unwrap().to_owned()).collect();
    refusals.sort();
    refusals.dedup_by(|one, other| one == other);
    let expected =
        [", and had none within 10s", ", and the client's share of the queue is full", ", and the queue is full"];
    assert_eq!(refusals, expected.map(|why| format!("QUOTA_EXHAUSTED: the quota of a.b@us-east-1 has no room{why}")));
}
