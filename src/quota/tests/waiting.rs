//! Who waits, for how long, and what wakes it.

use super::*;
use crate::telemetry::logs::captured::captured;

#[tokio::test(start_paused = true)]
async fn a_call_begins_in_time_when_a_larger_one_before_it_leaves() {
    let (ledger, target) = (ledger([quota("a.b", 600)]), [Target::here("a.b")]);
    let _held = reserve(&ledger, &target, &demand(&client("one"), 600)).await.unwrap();
    let (large, small) = (demand(&client("one"), 500), demand(&client("two"), 20));
    let (mut first, mut second) =
        (Box::pin(reserve(&ledger, &target, &large)), Box::pin(reserve(&ledger, &target, &small)));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    let began = Instant::now();
    let small_begins = with(&ledger, async {
        sleep(Duration::from_secs(1)).await;
        drop(first);
        second.await
    });
    assert!(small_begins.await.is_ok() && began.elapsed() == Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_larger_than_the_quota_of_a_minute_is_not_sent_even_when_all_of_it_is_free() {
    let (ledger, caller) = (ledger([quota("a.b", 600), quota("c.d", 6_000)]), client("one"));
    let targets = [Target::here("a.b"), Target::here("c.d")];
    let error = reserve(&ledger, &targets[..1], &demand(&caller, 601)).await.unwrap_err();
    assert!(error.to_string().contains("smaller than one request"), "{error}");
    let asks = Demand { preferred: Some(targets[0].clone()), ..demand(&caller, 601) };
    assert_eq!(reserve(&ledger, &targets, &asks).await.unwrap().at, 1, "the other target can have it");
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_one_request_goes_on_after_a_throttle() {
    let quota = ModelQuota { requests_per_minute: NonZeroU64::new(1), ..ModelQuota::of("a.b") };
    let (ledger, target, caller) = (ledger([quota]), [Target::here("a.b")], client("one"));
    let mut sent = reserve(&ledger, &target, &demand(&caller, 10)).await.unwrap().reservation.unwrap();
    sent.sent();
    sent.failed(&Error::new(Reason::BedrockThrottled, "scripted"), Phase::BeforeContent);
    advance(Duration::from_secs(55)).await;
    let next = with(&ledger, reserve(&ledger, &target, &demand(&caller, 10))).await;
    assert!(next.is_ok(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_prompt_cache_is_a_part_of_the_wait_for_quota() {
    let quotas = ["a.b", "c.d"].map(|model| ModelQuota { output_burndown: 5, ..quota(model, 600) });
    let queue_time = Duration::from_secs(3);
    let ledger = Ledger::new("us-east-1", &QuotaSettings { queue_time, ..settings(quotas) });
    let (targets, caller) = ([Target::here("a.b"), Target::here("c.d")], client("one"));
    let mut held = Vec::new();
    for _ in &targets {
        let mut reservation = reserve(&ledger, &targets, &demand(&caller, 600)).await.unwrap().reservation.unwrap();
        reservation.sent();
        held.push(reservation);
    }
    let asks = Demand { preferred: Some(targets[0].clone()), ..demand(&caller, 10) };
    let (began, mut waits) = (Instant::now(), Box::pin(reserve(&ledger, &targets, &asks)));
    assert!(waits.as_mut().now_or_never().is_none());
    for reservation in &mut held {
        reservation.settle(used(0, 600));
    }
    assert!(with(&ledger, waits).await.is_err());
    assert_eq!(began.elapsed(), queue_time);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_the_whole_of_a_quota_does_not_ask_for_more() {
    let (ledger, target, caller) = (ledger([quota("a.b", 600)]), [Target::here("a.b")], client("one"));
    ledger.share();
    let asks = demand(&caller, 600);
    let refused = |ledger: &Ledger| {
        let waits = Box::pin(reserve(ledger, &target, &asks)).now_or_never();
        waits.is_none()
    };
    let _held = reserve(&ledger, &target, &asks).await.unwrap();
    assert!(refused(&ledger));
    assert!(ledger.wants_more().now_or_never().is_some(), "a share of a tenth");
    ledger.granted(&[("tokens/a.b@us-east-1".into(), Share { held: 600, servers: 1, spent: 0 })]);
    assert!(refused(&ledger));
    assert!(ledger.wants_more().now_or_never().is_none(), "there is no more");
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_that_a_quota_is_used_up_while_calls_come_and_end() {
    let log = captured();
    let lines = || log.lines().iter().filter(|line| line.contains("outcrop::quota::ledger")).count();
    let ledger =
        Ledger::new("us-east-1", &QuotaSettings { queue_time: Duration::ZERO, ..settings([quota("a.b", 600)]) });
    let (target, caller) = ([Target::here("a.b")], client("one"));
    let calls = async {
        for _ in 0..50 {
            let held = reserve(&ledger, &target, &demand(&caller, 400)).await.unwrap();
            assert!(reserve(&ledger, &target, &demand(&caller, 400)).await.is_err());
            assert!(reserve(&ledger, &target, &demand(&caller, 1_000)).await.is_err());
            drop(held);
            sleep(Duration::from_millis(1_500)).await;
        }
        assert_eq!(lines(), 1, "it is used up");
        sleep(Duration::from_secs(15)).await;
        assert_eq!(lines(), 2, "it has room again");
    };
    with(&ledger, calls).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttle_after_all_of_a_share_was_spent_lowers_it_to_about_what_was_spent() {
    let (ledger, target, caller) = (ledger([quota("a.b", 6_000)]), [Target::here("a.b")], client("one"));
    ledger.share();
    let mut held = Vec::new();
    for tokens in [590, 10] {
        let mut reservation = reserve(&ledger, &target, &demand(&caller, tokens)).await.unwrap().reservation.unwrap();
        reservation.sent();
        held.push(reservation);
    }
    held.pop().unwrap().failed(&Error::new(Reason::BedrockThrottled, "scripted"), Phase::BeforeContent);
    let safe_share = ledger.list(&caller.id)[0].safe_share;
    assert!((0.93..0.95).contains(&safe_share), "590 of 600, and a twentieth less: {safe_share}");
}
