//! The attempts of a call: the target of the next one, the backoff before it, and whether there is one.
//!
//! An attempt reserves quota at its target before it is sent. If the target that is next has no room, another healthy one of the route is
//! tried, and if none has, the call waits.
//!
//! The retries of the SDK are off, because the two would multiply.

use std::{fmt, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;
use tower::retry::budget::{Budget, TpsBudget};

use super::{
    attempt_log::AttemptLog,
    circuit_breaker::{CircuitBreakers, Ticket},
    routes::Target,
};
use crate::{
    error::{Error, Reason},
    metrics::Metrics,
    proto::Attempt,
    quota::{
        demand::Demand,
        ledger::{Granted, Ledger, reservation::Reservation},
    },
};

/// The backoff before a target is tried again. It is doubled with every retry up to the maximum, plus a jitter of up to the same length.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The longest `Retry-After` for which a call waits. If it is longer, the call ends and the status has the delay.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The retry budget: within this time, this many retries per second plus this share of the calls can repeat a target, so that an outage
/// of Bedrock does not multiply the load. Attempts at another healthy target do not count.
const BUDGET_TIME: Duration = Duration::from_secs(10);
const BUDGET_PER_SECOND: u32 = 10;
const BUDGET_SHARE: f32 = 0.2;

/// The retry budget and the circuit breakers, which all calls share.
pub(crate) struct AttemptPolicy {
    max_attempts: u32,
    /// The region of a target that names none.
    home: String,
    budget: TpsBudget,
    breakers: CircuitBreakers,
    ledger: Ledger,
    metrics: Metrics,
}

/// The plan of the attempts of a call.
pub(crate) struct AttemptPlan<'a> {
    policy: &'a AttemptPolicy,
    route: &'a [Target],
    log: AttemptLog,
    /// The index of the target of the running attempt.
    current: usize,
    attempts: u32,
    /// What the call asks of quotas. `None`: its targets have none.
    demand: Option<&'a Demand>,
    /// What the running attempt holds, until it is sent.
    reservation: Option<Reservation>,
    /// Whether the running attempt repeats the one before it, because a connection had failed.
    repeats: bool,
    backoffs: ExponentialBackoff,
    /// Reports the result of the running attempt to the breaker of its target. `None` if the route has no other target.
    ticket: Option<Ticket>,
    /// Whether the caller set shorter timeouts than the server's. Then a timeout does not count as a failure of the target.
    short_timeouts: bool,
}

impl AttemptPolicy {
    /// A call makes at most `max_attempts` attempts. `home` is the region of the server.
    pub(crate) fn new(max_attempts: u32, home: impl Into<String>, ledger: Ledger, breakers: CircuitBreakers) -> Self {
        let budget = TpsBudget::new(BUDGET_TIME, BUDGET_PER_SECOND, BUDGET_SHARE);
        Self { max_attempts, home: home.into(), budget, breakers, ledger, metrics: Metrics::default() }
    }

    /// The same, which is measured.
    pub(crate) fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Plans the attempts of a call and begins the first one, at the first healthy target of its route that has room.
    ///
    /// # Errors
    /// `QUOTA_EXHAUSTED`.
    pub(crate) async fn plan<'a>(
        &'a self,
        route: &'a [Target],
        log: &AttemptLog,
        short_timeouts: bool,
        demand: Option<&'a Demand>,
    ) -> Result<AttemptPlan<'a>, Error> {
        self.budget.deposit();
        let backoffs = ExponentialBuilder::default()
            .with_min_delay(MIN_BACKOFF)
            .with_max_delay(MAX_BACKOFF)
            .without_max_times()
            .with_jitter();
        let mut plan = AttemptPlan {
            policy: self,
            route,
            log: log.clone(),
            current: 0,
            attempts: 0,
            demand,
            reservation: None,
            repeats: false,
            backoffs: backoffs.build(),
            ticket: None,
            short_timeouts,
        };
        let healthy: Vec<_> = (0..route.len()).filter(|at| plan.is_healthy(*at)).collect();
        // If every breaker is open, the first target is tried.
        plan.begin(if healthy.is_empty() { &[0] } else { &healthy }).await?;
        Ok(plan)
    }
}

impl fmt::Debug for AttemptPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptPolicy").field("max_attempts", &self.max_attempts).finish_non_exhaustive()
    }
}

impl AttemptPlan<'_> {
    /// The target of the running attempt.
    pub(crate) fn target(&self) -> &Target {
        &self.route[self.current]
    }

    /// What the running attempt holds of the quota of its target. It is taken once.
    pub(crate) fn take_reservation(&mut self) -> Option<Reservation> {
        self.reservation.take()
    }

    /// Records that the target has answered.
    pub(crate) fn succeeded(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.succeeded();
        }
    }

    /// Records that the attempt has failed. Waits for the backoff and begins the next attempt, or returns the error if there is none.
    pub(crate) async fn failed(&mut self, error: Error) -> Result<(), Error> {
        let reason = error.reason();
        self.log.failed(reason);
        if !reason.allows_another_attempt() {
            // A target that refuses a request is healthy.
            self.succeeded();
            return Err(error);
        }
        let timeout = matches!(reason, Reason::FirstContentTimeout | Reason::ConnectTimeout);
        // Dropping a ticket reports no result.
        if let Some(ticket) = self.ticket.take().filter(|_| !(timeout && self.short_timeouts)) {
            ticket.failed();
        }
        if self.attempts >= self.policy.max_attempts || self.log.is_stopped() {
            return Err(error);
        }
        let (timed_out_early, before) = (timeout && self.short_timeouts, self.current);
        let wait = match self.choose(&error, timed_out_early) {
            Ok(wait) => wait,
            Err(Stop::NoRetry) => return Err(error),
            Err(Stop::BudgetExhausted) => return Err(error.with_metadata("retry_budget", "exhausted".to_owned())),
        };
        sleep(wait).await;
        if self.log.is_stopped() {
            return Err(error);
        }
        let next = self.current;
        let others = (0..self.route.len()).filter(|at| *at != next && *at != before && self.is_healthy(*at));
        let order: Vec<_> = [next].into_iter().chain(others).collect();
        // The failure of the attempt tells more than the lack of quota for another one.
        if self.begin(&order).await.is_err() {
            return Err(error);
        }
        self.repeats &= self.current == next;
        self.policy.metrics.retried(if self.current == before { "repeat" } else { "failover" });
        Ok(())
    }

    /// Chooses the next target and returns the backoff before it. A failed connection is retried once at the same target. After any other
    /// failure the next healthy target follows at once, and after the last one the first. If a target may not be repeated, the next healthy
    /// one follows too.
    fn choose(&mut self, error: &Error, timed_out_early: bool) -> Result<Duration, Stop> {
        let other = self.healthy(self.current + 1..self.route.len());
        let same = is_connection(error.reason()) && !self.repeats && (other.is_none() || self.is_healthy(self.current));
        let elsewhere = match other {
            Some(at) if !same => at,
            _ => match (self.backoff(error, timed_out_early), other) {
                (Ok(wait), _) => {
                    let at = if same { self.current } else { self.healthy(0..self.route.len()).unwrap_or(0) };
                    self.repeats = self.current == at;
                    self.current = at;
                    return Ok(wait);
                }
                (Err(_), Some(at)) => at,
                (Err(stop), None) => return Err(stop),
            },
        };
        self.repeats = false;
        self.current = elsewhere;
        Ok(Duration::ZERO)
    }

    /// The backoff before a target that was tried before, if the call may repeat it.
    fn backoff(&mut self, error: &Error, timed_out_early: bool) -> Result<Duration, Stop> {
        let wait = self.backoffs.next().unwrap_or(MAX_BACKOFF).max(error.retry_after().unwrap_or_default());
        // The budget is for failures of Bedrock, and not for short timeouts of callers.
        if wait > MAX_RETRY_AFTER || timed_out_early {
            return Err(Stop::NoRetry);
        }
        if self.policy.budget.withdraw() {
            Ok(wait)
        } else {
            self.policy.metrics.retry_budget_exhausted();
            Err(Stop::BudgetExhausted)
        }
    }

    /// The first of these targets whose breaker allows attempts.
    fn healthy(&self, mut range: std::ops::Range<usize>) -> Option<usize> {
        range.find(|at| self.is_healthy(*at))
    }

    fn is_healthy(&self, at: usize) -> bool {
        self.route.len() == 1 || self.policy.breakers.allows(&self.route[at])
    }

    /// Begins the next attempt at the first of these targets that has room.
    async fn begin(&mut self, order: &[usize]) -> Result<(), Error> {
        let targets: Vec<_> = order.iter().map(|at| &self.route[*at]).collect();
        let granted = match self.demand {
            Some(demand) => {
                let log = &self.log;
                log.in_queue(self.policy.ledger.reserve(&targets, demand, |waiting| log.waits(waiting))).await?
            }
            None => Granted { at: 0, reservation: None },
        };
        if self.log.is_stopped() {
            return Err(Error::new(Reason::CallerCancelled, "the caller left before an attempt began"));
        }
        self.current = order[granted.at];
        self.reservation = granted.reservation;
        self.attempts += 1;
        self.ticket = (self.route.len() > 1).then(|| self.policy.breakers.begin(self.target()));
        let Target { model_id, region } = self.target();
        let region = region.clone().unwrap_or_else(|| self.policy.home.clone());
        self.log.begun(Attempt { model_id: model_id.clone(), region, reason: String::new() });
        Ok(())
    }
}

/// The reason why a call may not repeat a target.
enum Stop {
    NoRetry,
    BudgetExhausted,
}

/// Whether the connection failed, so that the target can be healthy.
fn is_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UpstreamUnreachable | Reason::UpstreamTruncated | Reason::UpstreamCorrupt | Reason::BedrockInternal
    )
}
