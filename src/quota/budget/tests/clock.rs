//! Tests of the periods: clocks that go on and that jump, and restarts.

use std::time::Duration;

use super::*;

#[test]
fn a_call_counts_in_the_day_in_which_it_began() {
    let (clock, client) = (WallClock::at("2026-11-26T23:59:59Z"), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(false), Prices::of(&["cheap"]));
    let hold = budgets.reserve(&client, prices.costs(0, 900)).unwrap().unwrap();
    clock.set("2026-11-27T00:00:00Z");
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 0, 1_000]);
    hold.settle(used(0, 900), "cheap");
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 0, 1_000]);
    clock.set("2026-11-26T23:59:59Z");
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 900, 100]);
}

#[test]
fn a_clock_that_jumps_back_opens_no_finished_day_again() {
    let (clock, client) = (WallClock::at(NOON), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(false), Prices::of(&["cheap"]));
    let spend = |tokens| {
        let hold = budgets.reserve(&client, prices.costs(0, tokens)).map(Option::unwrap);
        hold.map(|hold| hold.settle(used(0, tokens), "cheap")).is_ok()
    };
    let day = Duration::from_hours(24);
    let noon = humantime::parse_rfc3339(NOON).unwrap();
    for number in 0..40 {
        clock.set_to(noon + number * day);
        assert!(spend(900));
        assert!(!spend(101), "day {number}");
    }
    for number in (0..40).rev() {
        clock.set_to(noon + number * day);
        assert!(!spend(101), "day {number} is finished, whether it is remembered or not");
    }
    // The rest of a day that is remembered can be spent once.
    assert!(spend(100));
    assert!(!spend(1));
    clock.set_to(noon + 40 * day);
    assert!(spend(1_000), "the next day begins all the same");
}

#[test]
fn a_clock_that_jumps_forward_and_back_loses_nothing_and_closes_no_day() {
    let (clock, client) = (WallClock::at(NOON), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(false), Prices::of(&["cheap"]));
    let spend = |tokens| {
        budgets
            .reserve(&client, prices.costs(0, tokens))
            .map(|hold| hold.unwrap().settle(used(0, tokens), "cheap"))
            .is_ok()
    };
    assert!(spend(700));
    for year in 2027..2040 {
        clock.set(&format!("{year}-01-01T00:00:00Z"));
        assert!(spend(700), "{year}");
    }
    clock.set("2039-01-01T12:00:00Z");
    assert!(!spend(301));
    clock.set(NOON);
    assert!(!spend(301), "the day of the test is not forgotten for any other");
    assert!(spend(300));
    for day in 27..=30 {
        clock.set(&format!("2026-11-{day}T00:00:00Z"));
        assert!(spend(1_000), "{day}");
    }
}

#[test]
fn what_was_spent_and_reserved_is_saved_and_restored() {
    let (clock, client) = (WallClock::at(NOON), tokens_a_day(1_000));
    let (budgets, prices) = (clock.budgets(false), Prices::of(&["cheap"]));
    assert!(!budgets.has_changed());
    let running = budgets.reserve(&client, prices.costs(0, 300)).unwrap();
    budgets.reserve(&client, prices.costs(0, 100)).unwrap().unwrap().settle(used(0, 50), "cheap");
    assert!(budgets.has_changed());
    let changes = budgets.changes();
    assert!(!budgets.has_changed());
    let after_a_crash = clock.budgets(false);
    after_a_crash.restore(changes.clone());
    assert!(!after_a_crash.has_changed());
    assert_eq!(of_day(&after_a_crash, &client), [1_000, 0, 350, 650]);
    budgets.not_saved(&changes);
    drop(running);
    let after_a_restart = clock.budgets(false);
    after_a_restart.restore(budgets.changes());
    assert_eq!(of_day(&after_a_restart, &client), [1_000, 0, 350, 650]);
    clock.set("2026-11-27T00:00:00Z");
    assert_eq!(of_day(&after_a_restart, &client), [1_000, 0, 0, 1_000]);
}
