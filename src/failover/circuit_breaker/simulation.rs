//! A simulation of attempts that end in any order, late or never: one probe at a time, always returned, and no breaker that stays open.

use super::*;
use crate::simulation;

/// The attempts of one seed.
const STEPS: usize = 300;

/// The longest ejection, with its jitter.
const LONGEST: Duration = MAX_EJECTION.saturating_mul(11).checked_div(10).unwrap();

/// What is known of the breaker from the outside.
#[derive(Default)]
struct Model {
    generation: u64,
    /// The failures in a row of attempts that began since the last change of state.
    failures: u32,
}

fn state(breakers: &CircuitBreakers, target: &Target, read: impl FnOnce(&Breaker)) {
    if let Some(breaker) = breakers.breakers.lock().get(target) {
        read(breaker);
    }
}

/// What holds after every step.
fn check(breakers: &CircuitBreakers, target: &Target, tickets: &[Ticket]) {
    state(breakers, target, |breaker| {
        let probes = tickets.iter().filter(|ticket| ticket.probe && ticket.generation == breaker.generation).count();
        match breaker.state {
            State::Closed { failures } => assert!(failures < FAILURES && probes == 0, "{breaker:?}"),
            State::Open { until } => {
                assert!(until.saturating_duration_since(Instant::now()) <= LONGEST && probes == 0, "{breaker:?}");
            }
            State::HalfOpen => assert_eq!(probes, 1, "one attempt is the probe, and its permit is returned"),
        }
    });
}

/// Ends an attempt, and asserts that it counts only if it began in the present state.
fn end(breakers: &CircuitBreakers, target: &Target, ticket: Ticket, random: &mut fastrand::Rng, model: &mut Model) {
    let (current, probe) = (ticket.generation == model.generation, ticket.probe);
    let may_change = match random.u8(..10) {
        0..6 => {
            model.failures = if current { model.failures + 1 } else { model.failures };
            ticket.failed();
            current && (probe || model.failures >= FAILURES)
        }
        6..8 => {
            ticket.succeeded();
            model.failures = if current { 0 } else { model.failures };
            current
        }
        _ => {
            drop(ticket);
            current && probe
        }
    };
    follow(breakers, target, model, may_change);
}

/// Follows a change of state, which only some steps may bring.
fn follow(breakers: &CircuitBreakers, target: &Target, model: &mut Model, may_change: bool) {
    state(breakers, target, |breaker| {
        if breaker.generation != model.generation {
            assert!(may_change, "a result of the past has changed {breaker:?}");
            *model = Model { generation: breaker.generation, failures: 0 };
        }
    });
}

async fn simulate(mut random: fastrand::Rng) {
    let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
    let (mut tickets, mut model) = (Vec::new(), Model::default());
    for _ in 0..STEPS {
        match random.u8(..10) {
            0..5 => {
                // If every target is ejected, the first is asked although its breaker is open.
                if breakers.allows(&target) || random.u8(..4) == 0 {
                    let ticket = breakers.begin(&target);
                    follow(&breakers, &target, &mut model, ticket.probe);
                    tickets.push(ticket);
                }
            }
            5..9 if !tickets.is_empty() => {
                let ticket = tickets.swap_remove(random.usize(..tickets.len()));
                end(&breakers, &target, ticket, &mut random, &mut model);
            }
            _ => tokio::time::advance(Duration::from_millis(random.u64(..20_000))).await,
        }
        check(&breakers, &target, &tickets);
    }
    tickets.clear();
    tokio::time::advance(LONGEST).await;
    assert!(breakers.allows(&target), "no breaker stays open");
    breakers.begin(&target).succeeded();
    state(&breakers, &target, |breaker| assert!(matches!(breaker.state, State::Closed { failures: 0 }), "{breaker:?}"));
}

#[test]
fn a_breaker_has_one_probe_at_a_time_and_never_stays_open() {
    simulation::run(100, async |random| simulate(random).await);
}
