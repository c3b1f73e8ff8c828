//! Who waits, for how long, and what wakes it.

use super::*;

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
async fn a_quota_of_one_request_goes_on_after_a_throttle() {
    let quota = ModelQuota { requests_per_minute: NonZeroU64::new(1), ..ModelQuota::of("a.b") };
    let (ledger, target, caller) = (ledger([quota]), [Target::here("a.b")], client("one"));
    let mut sent = reserve(&ledger, &target, &demand(&caller, 10)).await.unwrap().reservation.unwrap();
    sent.sent();
    sent.failed(&Error::new(Reason::BedrockThrottled, "scripted"));
    advance(Duration::from_secs(55)).await;
    let next = with(&ledger, reserve(&ledger, &target, &demand(&caller, 10))).await;
    assert!(next.is_ok(), "{next:?}");
}
