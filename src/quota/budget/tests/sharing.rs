//! Tests of budgets that servers share.

use std::time::Duration;

use super::*;
use crate::quota::slots::Share;

fn grant(budgets: &Budgets, resource: &str, held: u64, spent: u64) {
    budgets.granted(&[(resource.into(), Share { held, servers: 2, spent })]);
}

#[test]
fn a_shared_budget_is_spent_within_what_was_granted() {
    let (clock, client) = (WallClock::at(NOON), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(true), Prices::of(&["cheap"]));
    budgets.follow([("billing", client.budget), ("other", Budget::default())].into_iter());
    let claim = || {
        let claims = budgets.claims();
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.into_iter().next().unwrap()
    };
    let first = claim();
    assert_eq!((&*first.resource, first.capacity), ("budget:tokens_per_day:20783:billing", 1_000));
    assert_eq!((first.in_use, first.wanted, first.spent), (0, 0, 0));
    assert_eq!(first.lasts, Some(Duration::from_hours(12) + Duration::from_mins(10)));
    let hold = budgets.reserve(&client, prices.costs(0, 100)).unwrap().unwrap();
    let error = budgets.reserve(&client, prices.costs(0, 1)).unwrap_err();
    assert!(
        error.message().ends_with("other servers hold the remaining budget. Set a lower max_tokens, or try again"),
        "{error}"
    );
    let status = error.into_status();
    assert_eq!(status.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    let second = claim();
    assert_eq!((second.in_use, second.wanted, second.spent), (100, 201, 0));
    grant(&budgets, &second.resource, 400, 500);
    grant(&budgets, "tokens:a.b", 1, 1);
    assert_eq!(of_day(&budgets, &client), [1_000, 100, 500, 300]);
    hold.settle(used(0, 80), "cheap");
    assert_eq!(claim().spent, 80);
    assert!(budgets.reserve(&client, prices.costs(0, 321)).is_err());
    assert!(budgets.reserve(&client, prices.costs(0, 320)).is_ok());
    // 920 are spent by all, of which this server knows.
    grant(&budgets, &claim().resource, 480, 920);
    let error = budgets.reserve(&client, prices.costs(0, 81)).unwrap_err();
    assert!(error.message().contains("920 tokens are used"), "{error}");
    assert!(error.message().contains("when the next day begins"), "{error}");
}

#[test]
fn a_shared_budget_is_claimed_after_its_end_until_all_spending_is_reported() {
    let (clock, client) = (WallClock::at("2026-11-26T23:00:00Z"), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(true), Prices::of(&["cheap"]));
    budgets.follow([("billing", client.budget)].into_iter());
    let hold = budgets.reserve(&client, prices.costs(0, 100)).unwrap().unwrap();
    clock.set("2026-11-27T00:00:00Z");
    let days = |budgets: &Budgets| {
        let claims = budgets.claims();
        claims.iter().map(|claim| (claim.resource.to_string(), claim.in_use, claim.spent)).collect::<Vec<_>>()
    };
    let day = |number: u32| format!("budget:tokens_per_day:{number}:billing");
    assert_eq!(days(&budgets), [(day(20_783), 100, 0), (day(20_784), 0, 0)]);
    hold.settle(used(0, 60), "cheap");
    assert_eq!(days(&budgets), [(day(20_783), 0, 60), (day(20_784), 0, 0)]);
    grant(&budgets, &day(20_783), 100, 60);
    assert_eq!(days(&budgets), [(day(20_784), 0, 0)]);
}
