//! What must hold of several servers and their table at every instant, by what happened to them rather than by what the table says.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    super::{
        Share, initial_share,
        memory::Memory,
        table::{Answer, CONFIRMING, LEASE, Request, ServerId, millis},
    },
    network::Observer,
};

/// The names of the resources, in the order of claims.
pub(super) const TOKENS: &str = "tokens";
pub(super) const STREAMS: &str = "streams";
pub(super) const BUDGET: &str = "budget";

/// What all servers may use together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacities {
    pub(super) tokens: u64,
    pub(super) streams: u64,
    pub(super) budget: u64,
}

/// One server, also after its end.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what happened to a server, each apart from the others")]
pub(super) struct Seen {
    pub(super) runs: bool,
    pub(super) tokens: u64,
    pub(super) streams: u64,
    pub(super) in_use: u64,
    /// What its spending may reach, what it is, and what the table has been told.
    pub(super) limit: u64,
    pub(super) spent: u64,
    reported: u64,
    /// When it first took an answer, and whether it took one a lease after it.
    answered: Option<u64>,
    settled: bool,
    /// The last request that was processed: when, by which table, and its number.
    processed: Option<(u64, u64)>,
    sequence: u64,
    /// The number of the last one of all tables.
    highest: u64,
    /// The first request of its lease, and the last one whose answer it took.
    lease_began: u64,
    answering: u64,
    taken: u64,
    /// More streams run than it was granted, since its lease began or since it used its initial share.
    over: bool,
    /// Its lease has expired, and that was counted. So was that an emptied table did not hear of it.
    lapsed: bool,
    unheard: u64,
}

#[derive(Debug)]
struct State {
    servers: BTreeMap<ServerId, Seen>,
    /// The number of times the table was emptied.
    table: u64,
    /// When the present table first processed a request.
    born: Option<u64>,
    /// What may be spent beyond the budget.
    allowed: u64,
    violations: Vec<String>,
}

/// All servers of a simulation.
pub(super) struct World {
    pub(super) capacities: Capacities,
    memory: Arc<Memory>,
    state: Mutex<State>,
}

impl World {
    pub(super) fn new(capacities: Capacities, memory: Arc<Memory>) -> Self {
        let state = State { servers: BTreeMap::new(), table: 1, born: None, allowed: 0, violations: Vec::new() };
        Self { capacities, memory, state: Mutex::new(state) }
    }

    /// Looks at a server, or changes it, and checks everything afterwards.
    pub(super) fn with<T>(&self, server: ServerId, change: impl FnOnce(&mut Seen) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(state.servers.entry(server).or_default());
        self.check(&mut state);
        result
    }

    pub(super) fn starts(&self, server: ServerId) {
        let Capacities { tokens, streams, budget } = self.capacities;
        self.state.lock().allowed += initial_share(budget);
        self.with(server, |seen| {
            seen.runs = true;
            (seen.tokens, seen.streams) = (initial_share(tokens), initial_share(streams));
            seen.limit = initial_share(budget);
        });
    }

    /// The server has ended, in order or not.
    pub(super) fn ends(&self, server: ServerId) {
        let mut state = self.state.lock();
        let table = state.table;
        let Some(seen) = state.servers.get_mut(&server) else { return };
        seen.runs = false;
        // What the table does not know and will not learn.
        let known = if seen.processed.is_some_and(|(_, by)| by == table) { seen.reported } else { 0 };
        state.allowed += seen.spent - known;
        self.check(&mut state);
    }

    pub(super) fn takes(&self, server: ServerId, shares: &[(Arc<str>, Share)]) {
        let now = self.memory.now();
        self.with(server, |seen| {
            let was_settled = seen.settled;
            seen.settled |= now >= *seen.answered.get_or_insert(now) + millis(LEASE);
            for (resource, share) in shares {
                match resource.as_ref() {
                    TOKENS => seen.tokens = share.held,
                    STREAMS => seen.streams = share.held,
                    _ => seen.limit = share.held,
                }
            }
            if seen.taken < seen.lease_began || !was_settled {
                seen.over = seen.in_use > seen.streams;
            }
            seen.taken = seen.answering;
        });
    }

    /// The table forgets everything.
    pub(super) fn empty(&self) {
        self.memory.empty();
        let mut state = self.state.lock();
        state.table += 1;
        state.born = None;
        state.allowed += state.servers.values().filter(|seen| !seen.runs).map(|seen| seen.spent).sum::<u64>();
    }

    /// What is wrong so far.
    pub(super) fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    pub(super) fn violated(&self, violation: String) {
        self.state.lock().violations.push(violation);
    }

    /// Running servers.
    pub(super) fn running(&self) -> Vec<Seen> {
        self.state.lock().servers.values().filter(|seen| seen.runs).cloned().collect()
    }

    /// Running servers.
    pub(super) fn ids(&self) -> Vec<ServerId> {
        self.state.lock().servers.iter().filter(|(_, seen)| seen.runs).map(|(id, _)| *id).collect()
    }

    /// The time has moved.
    pub(super) fn tick(&self) {
        self.check(&mut self.state.lock());
    }

    fn check(&self, state: &mut State) {
        let now = self.memory.now();
        let (table, born) = (state.table, state.born);
        for seen in state.servers.values_mut() {
            seen.over &= seen.in_use > seen.streams;
            state.allowed += seen.lapses(now) + seen.is_unheard(now, table, born);
        }
        let Capacities { tokens, streams, budget } = self.capacities;
        let covered = |seen: &&Seen| seen.is_covered(now, table);
        let sum = |of: fn(&Seen) -> u64, most: u64| -> u64 {
            // The others may still use their initial share.
            let settled = |seen: &&Seen| seen.settled || of(seen) > initial_share(most);
            state.servers.values().filter(covered).filter(settled).map(of).sum()
        };
        let used = [
            (TOKENS, sum(|seen| seen.tokens, tokens), tokens),
            (STREAMS, sum(|seen| if seen.over { 0 } else { seen.streams.max(seen.in_use) }, streams), streams),
            (BUDGET, state.servers.values().map(|seen| seen.spent).sum(), budget + state.allowed),
        ];
        let over = used.iter().filter(|(_, used, most)| used > most);
        let violations: Vec<_> = over.map(|(name, used, most)| format!("{now}: {used} of {most} {name}")).collect();
        state.violations.extend(violations);
    }
}

impl Seen {
    /// What its lease guarantees: it runs, its last request was processed less than a lease ago, and it has taken an answer since then.
    fn is_covered(&self, now: u64, table: u64) -> bool {
        let leased = self.processed.is_some_and(|(at, by)| by == table && now < at + millis(LEASE));
        self.runs && leased && self.taken >= self.lease_began
    }

    /// What others may be granted and this server may spend or have spent, when its lease expires.
    fn lapses(&mut self, now: u64) -> u64 {
        let lapses = !self.lapsed && self.processed.is_some_and(|(at, _)| now >= at + millis(LEASE));
        self.lapsed |= lapses;
        if lapses && self.runs { self.limit.max(self.spent) - self.reported } else { 0 }
    }

    /// What an emptied table does not know of this server when it begins to let shares grow.
    fn is_unheard(&mut self, now: u64, table: u64, born: Option<u64>) -> u64 {
        let heard = self.processed.is_none_or(|(_, by)| by == table);
        if heard || !self.runs || self.unheard == table || born.is_none_or(|born| now < born + millis(CONFIRMING)) {
            return 0;
        }
        self.unheard = table;
        self.limit.max(self.spent)
    }
}

impl Observer for World {
    fn processed(&self, server: ServerId, requests: &[Request], _: &[Answer]) {
        let now = self.memory.now();
        let mut state = self.state.lock();
        let table = state.table;
        state.born.get_or_insert(now);
        let seen = state.servers.entry(server).or_default();
        let sequence = requests[0].sequence;
        let is_known = seen.processed.is_some_and(|(_, by)| by == table);
        if sequence > seen.sequence || !is_known {
            let leased = seen.processed.is_some_and(|(at, by)| by == table && now < at + millis(LEASE));
            if !leased {
                // The answer to a late duplicate is not taken.
                seen.lease_began = if sequence > seen.highest { sequence } else { seen.highest + 1 };
            }
            seen.highest = seen.highest.max(sequence);
            let spent = requests.iter().find(|request| request.resource.as_ref() == BUDGET).map_or(0, |r| r.spent);
            seen.reported = if is_known { seen.reported.max(spent) } else { spent };
            (seen.sequence, seen.processed, seen.lapsed) = (sequence, Some((now, table)), false);
        }
        let by_table = |seen: &&Seen| seen.processed.is_some_and(|(_, by)| by == table);
        let reported: u64 = state.servers.values().filter(by_table).map(|seen| seen.reported).sum();
        let counted = self.memory.ledger(BUDGET).spent;
        if reported != counted {
            state.violations.push(format!("{now}: {counted} is counted, and {reported} was reported"));
        }
        self.check(&mut state);
    }

    fn answering(&self, server: ServerId, requests: &[Request]) {
        self.with(server, |seen| seen.answering = requests[0].sequence);
    }
}
