//! The table in the memory of a process, for several servers of a simulation: the sequential specification, and a clock.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    specification::{Ledger, Rules},
    table::{Answer, Ejection, Request, ServerId, Table, TableError, millis},
};

/// The time of its clock when it is made, in milliseconds.
const BEGIN: u64 = 1_700_000_000_000;

/// The table. Its clock is that of tokio, which tests can move.
pub(crate) struct Memory {
    began: Instant,
    rules: Rules,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ledgers: HashMap<Arc<str>, Ledger>,
    ejections: HashMap<Arc<str>, Instant>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with(Rules::default())
    }
}

impl Memory {
    pub(super) fn with(rules: Rules) -> Self {
        Self { began: Instant::now(), rules, state: Mutex::default() }
    }

    /// The milliseconds of its clock.
    pub(super) fn now(&self) -> u64 {
        BEGIN + millis(self.began.elapsed())
    }

    /// Processes requests at this moment.
    pub(super) fn process(&self, server: ServerId, requests: &[Request]) -> Vec<Answer> {
        let (now, mut state) = (self.now(), self.state.lock());
        let answer = |request: &Request| {
            let ledger = state.ledgers.entry(request.resource.clone()).or_default();
            Some(ledger.renew(now, server, request, self.rules))
        };
        requests.iter().map(answer).collect()
    }

    /// Forgets everything, as a Redis without persistence that restarts.
    pub(crate) fn empty(&self) {
        *self.state.lock() = State::default();
    }

    /// What it has of a resource.
    pub(super) fn ledger(&self, resource: &str) -> Ledger {
        self.state.lock().ledgers.get(resource).cloned().unwrap_or_default()
    }
}

#[tonic::async_trait]
impl Table for Memory {
    async fn renew(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError> {
        Ok(self.process(server, requests))
    }

    async fn eject(&self, ejections: &[Ejection]) -> Result<Option<Vec<Ejection>>, TableError> {
        let (now, mut state) = (Instant::now(), self.state.lock());
        for Ejection { target, remaining } in ejections {
            let ends = state.ejections.entry(target.clone()).or_insert(now);
            *ends = (*ends).max(now + *remaining);
        }
        state.ejections.retain(|_, ends| *ends > now);
        let ejection =
            |(target, ends): (&Arc<str>, &Instant)| Ejection { target: target.clone(), remaining: *ends - now };
        Ok(Some(state.ejections.iter().map(ejection).collect()))
    }
}
