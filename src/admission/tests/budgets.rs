//! A simulation of callers with budgets who come, wait, leave, fail and settle in any order, while the wall clock jumps and budgets change: no
//! budget is passed by more than what settlements exceed their reservations, and nothing leaks.

use std::num::NonZeroU64;

use super::*;
use crate::quota::{
    budget::{
        Amount, Kind,
        tests::{NOON, Reserved, WallClock, prices},
    },
    settings::Budget,
};

/// The largest budgets of a day and of a month, in tokens. In money they are twice that, in millionths.
const MOST: [(Kind, u64); 2] = [(Kind::Day, 10_000), (Kind::Month, 60_000)];

/// A caller, and a day or month.
type At = (String, Kind, u32);

/// What calls have spent in a period, and by how much they have exceeded their reservations.
#[derive(Clone, Copy, Default)]
struct Spending {
    spent: Amount,
    excess: Amount,
}

/// The same of all periods.
#[derive(Clone, Default)]
struct Model(Arc<Mutex<BTreeMap<At, Spending>>>);

impl Model {
    fn spend(&self, caller: &Client, periods: [(Kind, u32); 2], reserved: Amount, used: Amount) {
        for (kind, number) in periods {
            let mut model = self.0.lock();
            let Spending { spent, excess } = model.entry((caller.id.to_string(), kind, number)).or_default();
            spent.tokens += used.tokens;
            spent.micros += used.micros;
            excess.tokens += used.tokens.saturating_sub(reserved.tokens);
            excess.micros += used.micros.saturating_sub(reserved.micros);
        }
    }

    /// No budget is passed by more than the excess.
    fn check(&self, budgets: &Budgets) {
        let model = self.0.lock();
        for ((caller, kind, number), spent, reserved) in budgets.meters() {
            let (_, most) = MOST.into_iter().find(|(each, _)| *each == kind).unwrap();
            let Spending { excess, .. } = model.get(&(caller.clone(), kind, number)).copied().unwrap_or_default();
            let tokens = (spent.tokens + reserved.tokens, most + excess.tokens);
            let micros = (spent.micros + reserved.micros, 2 * most + excess.micros);
            // Caller 1 has budgets in tokens alone, and caller 2 in money alone.
            let limited =
                [Some(tokens).filter(|_| caller != "caller 2"), Some(micros).filter(|_| caller != "caller 1")];
            for (taken, most) in limited.into_iter().flatten() {
                assert!(taken <= most, "{caller} has taken {taken} of {most} in {kind:?} {number}");
            }
        }
    }

    /// Nothing is reserved, and everything is spent once.
    fn assert_settled(&self, budgets: &Budgets) {
        let model = self.0.lock();
        let meters = budgets.meters();
        for (at, spent, reserved) in &meters {
            assert_eq!(*reserved, Amount::default(), "{at:?}");
            assert_eq!(*spent, model.get(at).copied().unwrap_or_default().spent, "{at:?}");
        }
        assert!(model.keys().all(|at| meters.iter().any(|(known, ..)| known == at)), "a period is forgotten");
    }
}

/// A caller whose budget is one of two, as if a reload had changed it.
fn caller(number: u8, is_small: bool) -> Client {
    let [day, month] = MOST.map(|(_, most)| NonZeroU64::new(if is_small { most / 3 } else { most }));
    let twice = |most: Option<NonZeroU64>| most.and_then(|most| most.checked_mul(NonZeroU64::MIN.saturating_add(1)));
    let budget = match number {
        0 => Budget {
            tokens_per_day: day,
            tokens_per_month: month,
            cost_per_day: twice(day),
            cost_per_month: twice(month),
        },
        1 => Budget { tokens_per_day: day, tokens_per_month: month, ..Budget::default() },
        _ => Budget { cost_per_day: twice(day), cost_per_month: twice(month), ..Budget::default() },
    };
    Client { budget, ..Client::of(ClientId::Caller(format!("caller {number}").into())) }
}

/// One call, and how it ended.
async fn call(control: AdmissionControl, limits: Limits, model: Model, seed: u64) -> &'static str {
    let random = &mut fastrand::Rng::with_seed(seed);
    sleep(Duration::from_millis(random.u64(..5_000))).await;
    let client = caller(random.u8(..3), random.u8(..4) == 0);
    let config = InferenceConfiguration { max_tokens: Some(random.i32(1..2_000)), ..InferenceConfiguration::default() };
    let native_body = " ".repeat(random.usize(..400));
    let request = GenerateRequest { inference_config: Some(config), native_body, ..GenerateRequest::default() };
    let (quotas, route) = (prices(), [Target::here("cheap")]);
    let asked = AdmissionRequest { client: &client, model: "cheap", request: &request, route: &route, quotas: &quotas };
    let admitted = control.admit(&limits, asked);
    let admitted = until_left(&mut random.fork(), true, Duration::from_secs(1), admitted).await;
    model.check(control.budgets());
    let Permit { streams, reservation } = match admitted {
        None => return "left",
        Some(Err(error)) if error.reason() == Reason::BudgetExhausted => return "no budget",
        Some(Err(_)) => return "no permit",
        Some(Ok(permit)) => permit,
    };
    sleep(Duration::from_millis(random.u64(..800))).await;
    drop(streams);
    let Reserved { periods, whole: reserved, input } = reservation.budget.as_ref().unwrap().held();
    let used = Used { output: random.u32(..2_100), ..Used::default() };
    let (spent, outcome) = match random.u8(..5) {
        0 => {
            drop(reservation);
            (reserved, "not settled")
        }
        settled => {
            let (spent, outcome) = match settled {
                1 => {
                    reservation.give_back();
                    (Amount::default(), "given back")
                }
                2 => {
                    reservation.settle_input();
                    (input, "input settled")
                }
                _ => {
                    reservation.settle(used, "cheap");
                    let tokens = u64::from(used.output);
                    (Amount { tokens, micros: 2 * tokens }, "settled")
                }
            };
            // The first settlement counts.
            reservation.settle(used, "cheap");
            reservation.give_back();
            (spent, outcome)
        }
    };
    model.spend(&client, periods, reserved, spent);
    model.check(control.budgets());
    outcome
}

/// Sets the wall clock forward and back again and again, over ten days around the end of a month.
async fn jump(clock: &WallClock, random: &mut fastrand::Rng) {
    let middle = humantime::parse_rfc3339("2026-11-30T18:00:00Z").unwrap();
    loop {
        sleep(Duration::from_millis(random.u64(20..1_000))).await;
        let jump = Duration::from_secs(random.u64(..5 * 24 * 60 * 60));
        clock.set_to(if random.bool() { middle + jump } else { middle - jump });
    }
}

async fn simulate(random: &mut fastrand::Rng, tally: &mut Tally) {
    let clock = WallClock::at(NOON);
    let control = AdmissionControl::with_budgets(clock.budgets(false));
    let settings = LimitSettings {
        streams: 8,
        queue_time: Duration::from_millis(300),
        queue_length: 40,
        ..LimitSettings::default()
    };
    let (limits, model, mut calls) = (Limits { settings, generation: 1 }, Model::default(), JoinSet::new());
    for _ in 0..4 * CALLS {
        calls.spawn(call(control.clone(), limits.clone(), model.clone(), random.u64(..)));
    }
    let ended = async {
        while let Some(call) = calls.join_next().await {
            *tally.entry(call.unwrap()).or_default() += 1;
        }
    };
    let mut jumps = random.fork();
    tokio::select! {
        () = ended => {}
        () = jump(&clock, &mut jumps) => {}
    }
    model.assert_settled(control.budgets());
    assert_all_returned(&control);
    let restarted = clock.budgets(false);
    restarted.restore(control.budgets().changes());
    assert_eq!(restarted.meters(), control.budgets().meters(), "a restart loses nothing");
}

#[test]
fn no_budget_is_passed_by_more_than_settlements_exceed_their_reservations() {
    let mut tally = Tally::new();
    let seeds = simulation::run(60, async |mut random| simulate(&mut random, &mut tally).await);
    if seeds.end - seeds.start >= 60 {
        let outcomes = ["left", "no budget", "no permit", "not settled", "given back", "input settled", "settled"];
        for outcome in outcomes {
            assert!(tally.contains_key(outcome), "{outcome} was never reached: {tally:?}");
        }
    }
}
