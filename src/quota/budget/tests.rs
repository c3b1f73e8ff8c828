//! Tests of budgets with a wall clock that is set, and jumps.

mod clock;
mod sharing;

use std::{
    num::NonZeroU64,
    sync::atomic::AtomicU64,
    time::{Duration, UNIX_EPOCH},
};

use tonic_types::StatusExt;

use super::*;
use crate::{
    error::Reason,
    event::Used,
    proto::{CallerQuotaKind, GenerateRequest},
    quota::settings::Price,
};

/// Noon of 2026-11-26.
pub(crate) const NOON: &str = "2026-11-26T12:00:00Z";

/// A wall clock that is set.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<AtomicU64>);

impl WallClock {
    pub(crate) fn at(time: &str) -> Self {
        let clock = Self(Arc::default());
        clock.set(time);
        clock
    }

    fn set(&self, time: &str) {
        self.set_to(humantime::parse_rfc3339(time).unwrap());
    }

    pub(crate) fn set_to(&self, time: std::time::SystemTime) {
        self.0.store(time.duration_since(UNIX_EPOCH).unwrap().as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn budgets(&self, is_shared: bool) -> Budgets {
        let seconds = Arc::clone(&self.0);
        let clock = Clock::of(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)));
        let budgets = Budgets(Arc::new(Inner { clock, ..Inner::default() }));
        if is_shared {
            budgets.share();
        }
        budgets
    }
}

/// What a call holds of its budgets.
pub(crate) struct Reserved {
    pub(crate) periods: [(Kind, u32); 2],
    pub(crate) whole: Amount,
    pub(crate) input: Amount,
}

impl Hold {
    pub(crate) fn held(&self) -> Reserved {
        let periods = [Kind::Day, Kind::Month].map(|kind| (kind, self.counted.number(kind)));
        Reserved { periods, whole: self.reserved, input: self.input }
    }
}

impl Budgets {
    /// What is spent and reserved in each period of each caller, in order.
    pub(crate) fn meters(&self) -> Vec<((String, Kind, u32), Amount, Amount)> {
        let mut all = Vec::new();
        for (caller, account) in &mut self.state().accounts {
            for kind in [Kind::Day, Kind::Month] {
                for (number, meter) in account.periods_mut(kind).iter_mut() {
                    all.push(((caller.to_string(), kind, number), meter.spent, meter.reserved));
                }
            }
        }
        all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        all
    }
}

/// The prices of [`Prices`].
pub(crate) fn prices() -> Arc<QuotaSettings> {
    Prices::of(&[]).settings
}

fn billing(budget: Budget) -> Client {
    Client { budget, ..Client::of(ClientId::Caller("billing".into())) }
}

pub(crate) fn tokens_a_day(tokens: u64) -> Client {
    billing(Budget { tokens_per_day: NonZeroU64::new(tokens), ..Budget::default() })
}

/// What the calls of a test can cost.
pub(crate) struct Prices {
    route: Vec<Target>,
    settings: Arc<QuotaSettings>,
}

impl Prices {
    /// `cheap` costs 1 a million tokens of input and 2 of output, `dear` ten times as much, and twice that for writes to its cache.
    pub(crate) fn of(models: &[&str]) -> Self {
        let cheap = Price { input: 1_000_000, output: 2_000_000, cache_read: 100_000, cache_write: 1_000_000 };
        let dear = Price { input: 10_000_000, output: 20_000_000, cache_read: 1_000_000, cache_write: 20_000_000 };
        let prices = [("cheap".to_owned(), cheap), ("dear".to_owned(), dear)].into();
        let settings = Arc::new(QuotaSettings { prices, ..QuotaSettings::default() });
        Self { route: models.iter().map(|model| Target::here(*model)).collect(), settings }
    }

    /// A request with so many tokens of input, which can generate so many.
    pub(crate) fn costs(&self, input: u32, output: u32) -> Costs<'_> {
        let native_body = "....".repeat(input as usize);
        let estimate = Estimate::of(&GenerateRequest { native_body, ..GenerateRequest::default() });
        Costs { estimate, reserved_tokens: output, route: &self.route, settings: &self.settings }
    }
}

fn used(input: u32, output: u32) -> Used {
    Used { input, output, ..Used::default() }
}

/// Limit, reserved, used and free of a budget.
fn usage(budgets: &Budgets, client: &Client, kind: CallerQuotaKind) -> [u64; 4] {
    let listed = budgets.list("billing", &client.budget);
    let quota = listed.into_iter().find(|quota| quota.kind() == kind).unwrap();
    let usage = quota.usage.unwrap();
    [usage.limit, usage.reserved, usage.used, usage.free]
}

fn of_day(budgets: &Budgets, client: &Client) -> [u64; 4] {
    usage(budgets, client, CallerQuotaKind::TokensPerDay)
}

#[test]
fn a_call_reserves_what_it_can_cost_and_settles_what_it_has_cost_once() {
    let (budgets, client) = (WallClock::at(NOON).budgets(false), tokens_a_day(1_000));
    let prices = Prices::of(&["cheap"]);
    let reserve = || budgets.reserve(&client, prices.costs(100, 300)).unwrap().unwrap();
    let hold = reserve();
    assert_eq!(of_day(&budgets, &client), [1_000, 400, 0, 600]);
    hold.settle(used(90, 30), "cheap");
    hold.settle_input();
    hold.give_back();
    drop(hold);
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 120, 880]);
    reserve().settle_input();
    reserve().give_back();
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 220, 780]);
    drop(reserve());
    assert_eq!(of_day(&budgets, &client), [1_000, 0, 620, 380], "a call whose usage stays unknown");
}

#[test]
fn a_caller_without_a_budget_reserves_nothing_and_takes_no_memory() {
    let budgets = WallClock::at(NOON).budgets(false);
    let prices = Prices::of(&["cheap"]);
    assert!(budgets.reserve(&billing(Budget::default()), prices.costs(100, u32::MAX)).unwrap().is_none());
    assert!(budgets.state().accounts.is_empty());
}

#[test]
fn a_call_without_room_is_told_which_budget_it_is_and_when_the_next_begins() {
    let clock = WallClock::at("2026-11-30T22:00:00Z");
    let (budgets, client) = (clock.budgets(false), tokens_a_day(1_000));
    let prices = Prices::of(&["cheap"]);
    budgets.reserve(&client, prices.costs(100, 500)).unwrap().unwrap().settle(used(100, 400), "cheap");
    let _running = budgets.reserve(&client, prices.costs(50, 250)).unwrap();
    let error = budgets.reserve(&client, prices.costs(100, 101)).unwrap_err();
    assert_eq!(error.reason(), Reason::BudgetExhausted);
    let message = "caller:billing can use 1000 tokens a day (budget.tokens_per_day): 500 tokens are used and 300 tokens reserved by running calls. This request reserves 201 tokens, of which 100 tokens are its input: set a lower max_tokens, or try again when the next day begins, at 2026-12-01T00:00:00Z";
    assert_eq!(error.message(), message);
    let status = error.into_status();
    let details = status.get_error_details();
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_hours(2)));
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "caller:billing");
    assert_eq!(violation.description, "caller:billing can use 1000 tokens a day (budget.tokens_per_day)");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(pushback, "-1", "a gRPC client that waits for hours returns no status");
    assert!(budgets.reserve(&client, prices.costs(100, 100)).is_ok(), "the rest can be spent");
}

#[test]
fn a_request_that_is_larger_than_the_budget_is_never_told_to_wait() {
    let (budgets, client) = (WallClock::at(NOON).budgets(false), tokens_a_day(1_000));
    let error = budgets.reserve(&client, Prices::of(&["cheap"]).costs(1, 1_000)).unwrap_err();
    assert!(error.message().ends_with(
        "This request reserves 1001 tokens, of which 1 tokens are its input: more than the whole budget of the day. Set a lower max_tokens, or shorten it"
    ), "{error}");
    assert!(error.into_status().get_error_details().retry_info().is_none());
}

#[test]
fn the_budget_that_lasts_longest_is_the_one_that_is_reported() {
    let budget = Budget {
        tokens_per_day: NonZeroU64::new(1_000),
        tokens_per_month: NonZeroU64::new(1_500),
        ..Budget::default()
    };
    let (clock, client, prices) = (WallClock::at(NOON), billing(budget), Prices::of(&["cheap"]));
    let budgets = clock.budgets(false);
    let reserve = || budgets.reserve(&client, prices.costs(0, 900));
    reserve().unwrap().unwrap().settle(used(0, 900), "cheap");
    assert!(reserve().unwrap_err().message().contains("1500 tokens a month (budget.tokens_per_month)"));
    clock.set("2026-11-27T00:00:00Z");
    let error = reserve().unwrap_err();
    assert!(error.message().contains("budget.tokens_per_month"), "the day has room again, the month has not: {error}");
    clock.set("2026-12-01T00:00:00Z");
    assert!(reserve().is_ok());
}

#[test]
fn money_is_reserved_at_the_dearest_target_and_settled_at_the_one_that_answered() {
    let client = billing(Budget { cost_per_day: NonZeroU64::new(1_000), ..Budget::default() });
    let budgets = WallClock::at(NOON).budgets(false);
    let prices = Prices::of(&["cheap", "dear"]);
    let cost = |budgets: &Budgets| usage(budgets, &client, CallerQuotaKind::CostMicrosPerDay);
    let hold = budgets.reserve(&client, prices.costs(10, 10)).unwrap().unwrap();
    assert_eq!(cost(&budgets), [1_000, 10 * 20 + 10 * 20, 0, 600], "all input can be written to the cache");
    hold.settle(Used { input: 10, cache_read: 8, cache_write: 0, output: 5 }, "cheap");
    assert_eq!(cost(&budgets), [1_000, 0, 2 + 1 + 10, 987], "8 tokens at 0.1, rounded up");
    let hold = budgets.reserve(&client, prices.costs(10, 10)).unwrap().unwrap();
    hold.settle(used(10, 10), "dear");
    assert_eq!(cost(&budgets)[2], 13 + 300);
    let hold = budgets.reserve(&client, prices.costs(10, 10)).unwrap().unwrap();
    hold.settle(used(10, 10), "another");
    assert_eq!(cost(&budgets)[2], 13 + 300 + 400, "a model without a price costs what was reserved");
    let error = budgets.reserve(&client, prices.costs(10, 10)).unwrap_err();
    let message = "caller:billing can use 0.001 a day (budget.cost_per_day): 0.000713 are used and 0 reserved by running calls. This request reserves 0.0004, of which 0.0002 are its input: ";
    assert!(error.message().starts_with(message), "{error}");
}

#[test]
fn money_is_never_spent_on_a_model_without_a_price() {
    let client = billing(Budget { cost_per_month: NonZeroU64::new(u64::MAX), ..Budget::default() });
    let budgets = WallClock::at(NOON).budgets(false);
    let error = budgets.reserve(&client, Prices::of(&["cheap", "free"]).costs(0, 1)).unwrap_err();
    assert_eq!(error.reason(), Reason::BudgetExhausted);
    assert!(error.message().contains("no price of free") && error.message().contains("[price.\"free\"]"), "{error}");
}

#[test]
fn a_budget_that_is_changed_keeps_what_was_spent() {
    let budgets = WallClock::at(NOON).budgets(false);
    let prices = Prices::of(&["cheap"]);
    let small = tokens_a_day(100);
    budgets.reserve(&small, prices.costs(0, 90)).unwrap().unwrap().settle(used(0, 90), "cheap");
    let both = billing(Budget { cost_per_day: NonZeroU64::new(1_000_000), ..tokens_a_day(1_000).budget });
    assert_eq!(of_day(&budgets, &both), [1_000, 0, 90, 910]);
    assert_eq!(usage(&budgets, &both, CallerQuotaKind::CostMicrosPerDay)[2], 180, "money was counted all along");
    assert_eq!(of_day(&budgets, &tokens_a_day(50)), [50, 0, 90, 0]);
    assert!(budgets.reserve(&tokens_a_day(50), prices.costs(0, 1)).is_err());
}
