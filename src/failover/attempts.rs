//! The attempts of one call: which target is next, after which backoff, and whether there is a next. All come before the first content.
//!
//! The SDK's own retries are off, so that the two do not multiply.

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
    proto::Attempt,
};

/// The backoff before a target is asked again: at least this, doubled each time up to the longest, with as much again of jitter.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that a call waits for. A call that is asked to wait longer ends, and tells its caller.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The retry budget: over this time, this many retries a second and this share of the calls may repeat a target, so that a Bedrock that
/// fails for all calls does not get several times as many. An attempt at another target that is healthy does not count.
const BUDGET_TIME: Duration = Duration::from_secs(10);
const BUDGET_PER_SECOND: u32 = 10;
const BUDGET_SHARE: f32 = 0.2;

/// What all calls share.
pub(crate) struct AttemptPolicy {
    most: u32,
    /// The region of a target that names none.
    home: String,
    budget: TpsBudget,
    breakers: CircuitBreakers,
}

/// The attempts of one call: which is next.
pub(crate) struct AttemptPlan<'a> {
    attempts: &'a AttemptPolicy,
    route: &'a [Target],
    log: AttemptLog,
    at: usize,
    made: u32,
    /// Whether the attempt that is being made repeats the one before it, because a connection had failed.
    repeats: bool,
    waits: ExponentialBackoff,
    /// The attempt that is being made, for the breaker of its target. `None` if the route has no other target.
    ticket: Option<Ticket>,
    /// Whether the caller's own timeouts are shorter than the server's: then a timeout is no evidence against a target.
    short_timeouts: bool,
}

impl AttemptPolicy {
    /// At most this many for a call; `home` is the server's own region.
    pub(crate) fn new(most: u32, home: impl Into<String>) -> Self {
        let budget = TpsBudget::new(BUDGET_TIME, BUDGET_PER_SECOND, BUDGET_SHARE);
        Self { most, home: home.into(), budget, breakers: CircuitBreakers::default() }
    }

    /// A call that may be answered by any of these. The first is asked first, because prompt caches are a region's own.
    pub(crate) fn plan<'a>(&'a self, route: &'a [Target], log: &AttemptLog, short_timeouts: bool) -> AttemptPlan<'a> {
        self.budget.deposit();
        let waits = ExponentialBuilder::default()
            .with_min_delay(MIN_BACKOFF)
            .with_max_delay(MAX_BACKOFF)
            .without_max_times()
            .with_jitter();
        let mut plan = AttemptPlan {
            attempts: self,
            route,
            log: log.clone(),
            at: 0,
            made: 0,
            repeats: false,
            waits: waits.build(),
            ticket: None,
            short_timeouts,
        };
        // If every breaker is open, the first target is asked.
        plan.at = plan.healthy(0..route.len()).unwrap_or(0);
        plan.begin();
        plan
    }
}

impl fmt::Debug for AttemptPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptPolicy").field("most", &self.most).finish_non_exhaustive()
    }
}

impl AttemptPlan<'_> {
    /// The target of the attempt that is due.
    pub(crate) fn target(&self) -> &Target {
        &self.route[self.at]
    }

    /// The attempt has succeeded, or the target has answered it.
    pub(crate) fn succeeded(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.succeeded();
        }
    }

    /// The attempt has failed. Returns when the next is due, with the error if there is none.
    pub(crate) async fn failed(&mut self, error: Error) -> Result<(), Error> {
        let reason = error.reason();
        self.log.failed(reason);
        if !reason.allows_another_attempt() {
            // A target that refuses a request is healthy.
            self.succeeded();
            return Err(error);
        }
        let timeout = matches!(reason, Reason::FirstContentTimeout | Reason::ConnectTimeout);
        // Without a result, a ticket says nothing about the target.
        if let Some(ticket) = self.ticket.take().filter(|_| !(timeout && self.short_timeouts)) {
            ticket.failed();
        }
        if self.made >= self.attempts.most || self.log.caller_left() {
            return Err(error);
        }
        let timed_out_early = timeout && self.short_timeouts;
        let wait = match self.choose(&error, timed_out_early) {
            Ok(wait) => wait,
            Err(Stop::NoRetry) => return Err(error),
            Err(Stop::BudgetExhausted) => return Err(error.with_metadata("retry_budget", "exhausted".to_owned())),
        };
        sleep(wait).await;
        if self.log.caller_left() {
            return Err(error);
        }
        self.begin();
        Ok(())
    }

    /// Chooses the next target and returns the backoff before it. A failed connection is retried once at the same target. Any other
    /// failure goes to the next healthy target at once, and after the last one to the first again. Whoever may not repeat a target goes to
    /// the next healthy one too.
    fn choose(&mut self, error: &Error, timed_out_early: bool) -> Result<Duration, Stop> {
        let other = self.healthy(self.at + 1..self.route.len());
        let same = is_connection(error.reason()) && !self.repeats && (other.is_none() || self.is_healthy(self.at));
        let elsewhere = match other {
            Some(at) if !same => at,
            _ => match (self.backoff(error, timed_out_early), other) {
                (Ok(wait), _) => {
                    let at = if same { self.at } else { self.healthy(0..self.route.len()).unwrap_or(0) };
                    self.repeats = self.at == at;
                    self.at = at;
                    return Ok(wait);
                }
                (Err(_), Some(at)) => at,
                (Err(stop), None) => return Err(stop),
            },
        };
        self.repeats = false;
        self.at = elsewhere;
        Ok(Duration::ZERO)
    }

    /// The backoff before a target that was asked before, if the call may repeat it.
    fn backoff(&mut self, error: &Error, timed_out_early: bool) -> Result<Duration, Stop> {
        let wait = self.waits.next().unwrap_or(MAX_BACKOFF).max(error.retry_after().unwrap_or_default());
        // The budget is for failures of Bedrock, and not for timeouts that a caller has made short.
        if wait > MAX_RETRY_AFTER || timed_out_early {
            return Err(Stop::NoRetry);
        }
        if self.attempts.budget.withdraw() { Ok(wait) } else { Err(Stop::BudgetExhausted) }
    }

    /// The first of these whose breaker lets attempts through.
    fn healthy(&self, mut range: std::ops::Range<usize>) -> Option<usize> {
        range.find(|at| self.is_healthy(*at))
    }

    fn is_healthy(&self, at: usize) -> bool {
        self.route.len() == 1 || self.attempts.breakers.allows(&self.route[at])
    }

    fn begin(&mut self) {
        self.made += 1;
        self.ticket = (self.route.len() > 1).then(|| self.attempts.breakers.begin(self.target()));
        let Target { model_id, region } = self.target();
        let region = region.clone().unwrap_or_else(|| self.attempts.home.clone());
        self.log.begun(Attempt { model_id: model_id.clone(), region, reason: String::new() });
    }
}

/// Why a call may not repeat a target.
enum Stop {
    NoRetry,
    BudgetExhausted,
}

/// Whether the connection failed, and the target may be healthy.
fn is_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UpstreamUnreachable | Reason::UpstreamTruncated | Reason::UpstreamCorrupt | Reason::BedrockInternal
    )
}
