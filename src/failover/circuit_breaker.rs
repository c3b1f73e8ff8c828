//! A circuit breaker for each target, so that calls skip targets that fail.
//!
//! - Closed: attempts go to the target, and consecutive failures are counted.
//! - Open: after too many failures the target is skipped for a backoff, which grows with every ejection.
//! - Half-open: after the backoff one attempt is the probe. Its result closes the breaker or opens it again.
//!
//! Each change of state begins a new generation. Results of attempts of an older generation are ignored, so late failures do not extend
//! an ejection and late successes do not end it.
//!
//! If every target of a route is ejected, the first one is tried: a success closes its breaker, and a failure changes nothing. A target
//! without alternatives has no breaker, because trying it is better than refusing the call.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::routes::Target;
use crate::metrics::Metrics;

/// The number of consecutive failures that opens a breaker.
const FAILURES: u32 = 5;

/// The backoff of the first ejection. It is doubled with every further ejection up to the maximum, with a jitter of 10% either way.
const MIN_EJECTION: Duration = Duration::from_secs(30);
const MAX_EJECTION: Duration = Duration::from_mins(5);

/// The number of breakers up to which those of other servers are added.
const MAX_LEARNED: usize = 1_000;

/// The breakers of all targets. The configuration bounds their number. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CircuitBreakers {
    breakers: Arc<Mutex<HashMap<Target, Breaker>>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Breaker {
    state: State,
    generation: u64,
    /// The number of ejections since a success last closed the breaker.
    ejections: u32,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// A running attempt at a target with a breaker. Dropping it without a result releases the permit of a probe.
#[derive(Debug)]
pub(super) struct Ticket {
    breakers: CircuitBreakers,
    target: Target,
    generation: u64,
    probe: bool,
    ended: bool,
}

impl CircuitBreakers {
    /// The same, whose states are measured.
    pub(crate) fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Whether an attempt may go to this target. Only [`CircuitBreakers::begin`] takes the permit of a probe.
    pub(super) fn allows(&self, target: &Target) -> bool {
        match self.breakers.lock().get(target).map(|breaker| &breaker.state) {
            None | Some(State::Closed { .. }) => true,
            Some(State::Open { until }) => *until <= Instant::now(),
            Some(State::HalfOpen) => false,
        }
    }

    /// Begins an attempt at this target. If the backoff of an open breaker has passed, the attempt is the probe.
    pub(super) fn begin(&self, target: &Target) -> Ticket {
        let mut breakers = self.breakers.lock();
        let breaker = breakers.entry(target.clone()).or_insert_with(|| {
            self.metrics.breaker_is(&target.to_string(), State::default().name());
            Breaker::default()
        });
        let probe = matches!(breaker.state, State::Open { until } if until <= Instant::now());
        if probe {
            breaker.change(State::HalfOpen);
            self.measure(target, breaker);
        }
        let generation = breaker.generation;
        Ticket { breakers: self.clone(), target: target.clone(), generation, probe, ended: false }
    }

    /// The targets that are ejected, and for how long.
    pub(crate) fn ejected(&self) -> Vec<(Target, Duration)> {
        let now = Instant::now();
        let remaining = |(target, breaker): (&Target, &Breaker)| match breaker.state {
            State::Open { until } if until > now => Some((target.clone(), until - now)),
            _ => None,
        };
        self.breakers.lock().iter().filter_map(remaining).collect()
    }

    /// Another server has ejected this target for this time. If attempts go there, none does so before; then one is the probe.
    pub(crate) fn learn(&self, target: &Target, remaining: Duration) {
        let mut breakers = self.breakers.lock();
        if breakers.len() >= MAX_LEARNED && !breakers.contains_key(target) {
            return;
        }
        let breaker = breakers.entry(target.clone()).or_default();
        if let State::Closed { .. } = breaker.state {
            breaker.ejections = breaker.ejections.max(1);
            breaker.change(State::Open { until: Instant::now() + remaining.min(MAX_EJECTION) });
            self.measure(target, breaker);
        }
    }

    /// Changes the breaker of a target, if it is still of this generation, and measures its new state.
    fn change(&self, target: &Target, generation: u64, change: impl FnOnce(&mut Breaker)) {
        let mut breakers = self.breakers.lock();
        let Some(breaker) = breakers.get_mut(target).filter(|breaker| breaker.generation == generation) else { return };
        let ejections = breaker.ejections;
        change(breaker);
        if breaker.generation != generation {
            self.measure(target, breaker);
        }
        if breaker.ejections > ejections {
            self.metrics.breaker_opened(&target.to_string());
        }
    }

    fn measure(&self, target: &Target, breaker: &Breaker) {
        self.metrics.breaker_is(&target.to_string(), breaker.state.name());
    }
}

impl State {
    /// The state as a label.
    fn name(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Breaker {
    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }

    fn eject(&mut self) {
        let longest = MIN_EJECTION.saturating_mul(1 << self.ejections.min(16)).min(MAX_EJECTION);
        self.ejections += 1;
        let backoff = longest.mul_f64(0.9 + 0.2 * fastrand::f64());
        self.change(State::Open { until: Instant::now() + backoff });
    }
}

impl Ticket {
    /// Reports that the target answered.
    pub(super) fn succeeded(self) {
        self.end(|breaker| {
            breaker.ejections = 0;
            match &mut breaker.state {
                State::Closed { failures } => *failures = 0,
                State::Open { .. } | State::HalfOpen => breaker.change(State::default()),
            }
        });
    }

    /// Reports that the target failed.
    pub(super) fn failed(self) {
        let probe = self.probe;
        self.end(|breaker| match &mut breaker.state {
            State::Closed { failures } if *failures + 1 < FAILURES => *failures += 1,
            State::Closed { .. } => breaker.eject(),
            State::HalfOpen if probe => breaker.eject(),
            // The attempt had no other target.
            State::Open { .. } | State::HalfOpen => {}
        });
    }

    fn end(mut self, result: impl FnOnce(&mut Breaker)) {
        self.ended = true;
        self.breakers.change(&self.target, self.generation, result);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.ended || !self.probe {
            return;
        }
        // The probe has no result, so the next attempt is a probe.
        self.breakers.change(&self.target, self.generation, |breaker| {
            breaker.change(State::Open { until: Instant::now() });
        });
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests;
