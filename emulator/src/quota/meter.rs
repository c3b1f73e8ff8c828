//! Admits requests to one quota, and settles each of them once, whatever ends its answer.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    level::{Level, Taken},
    settings::Quota,
    tokens::Need,
    usage::QuotaUsage,
};
use crate::script::Script;

/// Bedrock's message if there are not enough tokens.
const TOO_MANY_TOKENS: &str = "Too many tokens, please wait before trying again.";

/// Bedrock's message if there are not enough requests.
const TOO_MANY_REQUESTS: &str = "Too many requests, please wait before trying again.";

/// `Retry-After` if it is not known when a stream ends.
const UNKNOWN_WAIT: Duration = Duration::from_secs(1);

/// One quota, and what is used of it.
#[derive(Debug)]
pub(crate) struct Meter {
    quota: Quota,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: Option<Level>,
    requests: Option<Level>,
    /// The counts. Its level and its time are not kept here.
    usage: QuotaUsage,
}

/// What a request asks too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Tokens,
    Requests,
    Streams,
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Settled,
    Kept,
    Released,
}

impl Meter {
    pub(super) fn new(quota: Quota) -> Self {
        let now = Instant::now();
        let level = |limit: u64| Level::new(limit, quota.model, quota.minute(), now);
        let (tokens, requests) = (quota.tokens.map(level), quota.requests.map(level));
        Self { quota, since: now, state: Mutex::new(State { tokens, requests, usage: QuotaUsage::default() }) }
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    pub(super) fn usage(&self) -> QuotaUsage {
        let mut state = self.state.lock();
        let now = Instant::now();
        let level = state.tokens.as_mut().map_or(0, |tokens| tokens.used(now));
        QuotaUsage { level, elapsed: now.saturating_duration_since(self.since), ..state.usage }
    }

    /// Admits a request, or returns the script that refuses it as Bedrock does.
    pub(crate) fn admit(self: &Arc<Self>, need: Need) -> Result<Admitted, Box<Script>> {
        let reserved = need.reserved(&self.quota);
        let mut state = self.state.lock();
        let now = Instant::now();
        let state = &mut *state;
        if let Some((resource, wait)) = self.refused(state, reserved, now) {
            return Err(Box::new(self.throttled(resource, wait)));
        }
        let taken = state.tokens.as_mut().map(|tokens| tokens.take(reserved, now));
        if let Some(requests) = &mut state.requests {
            requests.take(1, now);
        }
        let level = state.tokens.as_mut().map_or(0, |tokens| tokens.used(now));
        let usage = &mut state.usage;
        usage.requests += 1;
        usage.running += 1;
        usage.highest_running = usage.highest_running.max(usage.running);
        usage.tokens_reserved = usage.tokens_reserved.saturating_add(reserved);
        usage.highest_admitted_level = usage.highest_admitted_level.max(level);
        Ok(Admitted { meter: Arc::clone(self), taken, reserved, charge: need.charge(&self.quota), has_ended: false })
    }

    /// What the request has to wait for, and how long. Counts the refusal.
    fn refused(&self, state: &mut State, reserved: u64, now: Instant) -> Option<(Resource, Duration)> {
        let State { tokens, requests, usage } = state;
        let wait = |level: &mut Option<Level>, amount| level.as_mut()?.wait(amount, now);
        let (resource, wait) = if let Some(wait) = wait(requests, 1) {
            usage.throttled_by_requests += 1;
            (Resource::Requests, wait)
        } else if let Some(wait) = wait(tokens, reserved) {
            usage.throttled_by_tokens += 1;
            (Resource::Tokens, wait)
        } else if self.quota.streams.is_some_and(|most| usage.running >= most) {
            usage.throttled_by_streams += 1;
            (Resource::Streams, UNKNOWN_WAIT)
        } else {
            return None;
        };
        usage.throttled += 1;
        Some((resource, wait))
    }

    fn throttled(&self, resource: Resource, wait: Duration) -> Script {
        let message = match resource {
            Resource::Tokens => TOO_MANY_TOKENS,
            Resource::Requests | Resource::Streams => TOO_MANY_REQUESTS,
        };
        let script = Script::refuse(429, "ThrottlingException", message);
        if !self.quota.retry_after {
            return script;
        }
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        script.header("retry-after", &seconds.max(1).to_string())
    }
}

/// An admitted request. If it is dropped, its reservation is kept.
#[derive(Debug)]
pub(crate) struct Admitted {
    meter: Arc<Meter>,
    taken: Option<Taken>,
    reserved: u64,
    /// What its whole answer is charged. `None` if the answer reports no usage.
    charge: Option<u64>,
    has_ended: bool,
}

impl Admitted {
    /// The answer was sent to its end. Without a report of its usage the reservation is kept.
    pub(crate) fn settle(mut self) {
        match self.charge {
            Some(charge) => self.end(End::Settled, charge),
            None => self.end(End::Kept, self.reserved),
        }
    }

    /// The answer is an HTTP error, which is charged nothing.
    pub(crate) fn release(mut self) {
        self.end(End::Released, 0);
    }

    fn end(&mut self, end: End, charge: u64) {
        self.has_ended = true;
        let mut state = self.meter.state.lock();
        let now = Instant::now();
        let State { tokens, usage, .. } = &mut *state;
        if let (Some(tokens), Some(taken)) = (tokens, self.taken) {
            tokens.amend(taken, charge, now);
            usage.highest_settled_level = usage.highest_settled_level.max(tokens.used(now));
        }
        usage.running -= 1;
        usage.tokens_reserved = usage.tokens_reserved.saturating_sub(self.reserved);
        usage.tokens_charged = usage.tokens_charged.saturating_add(charge);
        match end {
            End::Settled => usage.settled += 1,
            End::Released => usage.released += 1,
            End::Kept => {
                usage.kept += 1;
                usage.tokens_kept = usage.tokens_kept.saturating_add(charge);
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(End::Kept, self.reserved);
        }
    }
}
