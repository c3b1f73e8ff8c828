//! Quotas that a reload changes, removes and adds again, while calls wait and run.

use super::*;

fn first(ledger: &Ledger) -> crate::proto::ModelQuota {
    ledger.list(&ClientId::Unknown).remove(0)
}

#[tokio::test(start_paused = true)]
async fn what_can_be_spent_at_once_follows_a_reload_that_changes_nothing_else() {
    let ledger = ledger([quota("a.b", 1_000)]);
    ledger.follow(&settings([ModelQuota { burst_percent: 10, ..quota("a.b", 1_000) }]));
    assert_eq!(first(&ledger).tokens_per_minute.unwrap().free, 100);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_a_reload_adds_to_a_shared_quota_begins_with_the_initial_share() {
    let ledger = ledger([quota("a.b", 1_000)]);
    ledger.share();
    let more = ModelQuota {
        requests_per_minute: NonZeroU64::new(100),
        streams: std::num::NonZeroU32::new(50),
        ..quota("a.b", 1_000)
    };
    ledger.follow(&settings([more]));
    let listed = first(&ledger);
    assert_eq!((listed.requests_per_minute.unwrap().share, listed.streams.unwrap().share), (10, 5));
    assert_eq!(listed.tokens_per_minute.unwrap().share, 100);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_reloads_remove_and_add_again_begins_with_the_initial_share() {
    let ledger = ledger([quota("a.b", 1_000)]);
    ledger.share();
    ledger.granted(&[("tokens/a.b@us-east-1".into(), Share { held: 1_000, servers: 1, spent: 0 })]);
    assert_eq!(first(&ledger).tokens_per_minute.unwrap().share, 1_000);
    let without = ModelQuota { requests_per_minute: NonZeroU64::new(100), ..ModelQuota::of("a.b") };
    ledger.follow(&settings([without]));
    ledger.follow(&settings([quota("a.b", 1_000)]));
    assert_eq!(first(&ledger).tokens_per_minute.unwrap().share, 100, "its share was given back");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_begins_at_a_quota_that_was_removed_and_added_again_gives_back_what_it_holds() {
    let both = || settings([ModelQuota { output_burndown: 5, ..quota("a.b", 600) }, quota("c.d", 600)]);
    let (ledger, caller) = (Ledger::new("us-east-1", &both()), client("one"));
    let targets = [Target::here("a.b"), Target::here("c.d")];
    let mut first = reserve(&ledger, &targets[..1], &demand(&caller, 600)).await.unwrap().reservation.unwrap();
    first.sent();
    let asks = Demand { preferred: Some(targets[0].clone()), ..demand(&caller, 10) };
    let mut waits = Box::pin(reserve(&ledger, &targets, &asks));
    assert!(waits.as_mut().now_or_never().is_none(), "it waits for the target that has its cache");
    first.settle(used(0, 600));
    ledger.follow(&settings([ModelQuota { output_burndown: 5, ..quota("a.b", 600) }]));
    ledger.follow(&both());
    let granted = waits.await.unwrap();
    assert_eq!(granted.at, 1, "the other target has room");
    drop(granted);
    let usage = ledger.list(&caller.id)[1].tokens_per_minute.unwrap();
    assert_eq!((usage.reserved, usage.free), (0, 600));
}
