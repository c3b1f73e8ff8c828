//! Keeps a target that is dead out of the routes for a while, so that not every call has to find out for itself.
//!
//! Only targets of a route that has others are watched: with nowhere else to go a call is better tried than refused.

use std::{collections::HashMap, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use tokio::time::Instant;

use super::routes::Target;

/// After how many failures in a row a target is kept out.
const FAILURES: u32 = 5;

/// For how long. After it one call tries, and the others stay away until that one has come to something, or as long again.
const COOLDOWN: Duration = Duration::from_secs(30);

/// What is known about the targets of all routes; their number is that of the configuration.
#[derive(Debug, Default)]
pub(super) struct CircuitBreakers(Mutex<HashMap<Target, State>>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl CircuitBreakers {
    /// Whether a call may go there. Who is told yes after the cooldown is the one who tries.
    pub(super) fn allows(&self, target: &Target) -> bool {
        let now = Instant::now();
        match self.states().get_mut(target).and_then(|state| state.open_until.as_mut()) {
            Some(until) if *until > now => false,
            Some(until) => {
                *until = now + COOLDOWN;
                true
            }
            None => true,
        }
    }

    /// It answered.
    pub(super) fn succeeded(&self, target: &Target) {
        self.states().remove(target);
    }

    /// It did not.
    pub(super) fn failed(&self, target: &Target) {
        let mut states = self.states();
        let state = states.entry(target.clone()).or_default();
        state.failures += 1;
        if state.failures >= FAILURES {
            state.open_until = Some(Instant::now() + COOLDOWN);
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Target, State>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dead_target_is_kept_out_for_a_while_and_then_tried_by_one() {
        let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
        for _ in 0..FAILURES {
            assert!(breakers.allows(&target));
            breakers.failed(&target);
        }
        assert!(!breakers.allows(&target));
        tokio::time::advance(COOLDOWN).await;
        assert!(breakers.allows(&target), "one tries");
        assert!(!breakers.allows(&target), "and no other");
        breakers.succeeded(&target);
        assert!(breakers.allows(&target) && breakers.allows(&target));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_are_not_in_a_row_do_not_count() {
        let (breakers, target) = (CircuitBreakers::default(), Target::here("a.b"));
        for _ in 0..3 * FAILURES {
            breakers.failed(&target);
            breakers.succeeded(&target);
        }
        assert!(breakers.allows(&target));
    }
}
