//! The sequential specification of the table: what each request changes, one after the other. The script in Redis does the same.

use std::collections::BTreeMap;

use super::table::{CONFIRMING, LARGEST, LEASE, LEAST, PRIME, REMEMBERED, Reply, Request, ServerId, TURN, millis};

/// The shares of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger {
    /// When it was made; 0 before the first request.
    pub(super) born: u64,
    /// When it began to confirm shares without granting growth.
    pub(super) since: u64,
    /// What all servers have spent.
    pub(super) spent: u64,
    pub(super) rows: BTreeMap<ServerId, Row>,
}

/// The share of one server. It stays for a while after its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) sequence: u64,
    /// The server uses no more than this.
    pub(super) held: u64,
    pub(super) expires: u64,
    pub(super) wanted: u64,
    pub(super) spent: u64,
}

/// The rules. Tests break them one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) lease: u64,
    /// A request that is older than the last one is not processed.
    pub(super) in_order: bool,
    /// A share that shrinks is free for others only when its server has confirmed it.
    pub(super) confirmed: bool,
    /// What was spent is counted once.
    pub(super) once: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { lease: millis(LEASE), in_order: true, confirmed: true, once: true }
    }
}

impl Ledger {
    /// Processes a request at this time of the table's clock.
    pub(super) fn renew(&mut self, now: u64, server: ServerId, request: &Request, rules: Rules) -> Reply {
        self.prepare(now, rules);
        let known = self.rows.get(&server).copied();
        if let Some(row) = known.filter(|row| rules.in_order && request.sequence <= row.sequence) {
            return self.reply(now, if row.expires > now { row.held } else { 0 });
        }
        if self.is_quiet(now) {
            self.since = now;
        }
        let spent = self.newly_spent(known, request, rules);
        self.spent += spent;
        let others: u64 = self.live(now).filter(|(id, _)| *id != server).map(|(_, row)| row.held).sum();
        let total = request.capacity.saturating_sub(self.spent);
        let room = total.saturating_sub(others);
        let before = known.filter(|row| row.expires > now).map_or(0, |row| row.held.saturating_sub(spent));
        // What the server says that it holds, as far as the table can still vouch for it.
        let held = request.held.min(before.max(room));
        let row = Row {
            sequence: request.sequence,
            held,
            expires: if request.leaving { now } else { now + rules.lease },
            wanted: request.wanted.max(request.in_use).min(request.capacity),
            spent: request.spent.max(known.map_or(0, |row| row.spent)),
        };
        self.rows.insert(server, row);
        if request.leaving {
            self.rows.insert(server, Row { held: 0, ..row });
            return self.reply(now, 0);
        }
        let fair = self.fair_share(now, total, server).max(request.in_use.min(held));
        let growing = now - self.since >= millis(CONFIRMING);
        let granted = if fair <= held || growing { fair.min(held.max(room)) } else { held };
        let kept = if rules.confirmed { held.max(granted) } else { granted };
        self.rows.insert(server, Row { held: kept, ..row });
        self.reply(now, granted)
    }

    /// What is due before any request: the clock may have jumped back, and old rows are forgotten.
    fn prepare(&mut self, now: u64, rules: Rules) {
        if self.born == 0 {
            self.born = now;
            self.since = now;
        }
        self.since = self.since.min(now);
        for row in self.rows.values_mut() {
            row.expires = row.expires.min(now + rules.lease);
        }
        self.rows.retain(|_, row| now < row.expires + millis(REMEMBERED));
    }

    /// No server has a lease, and some may use shares that the table does not know: it was emptied, or away for longer than a lease.
    fn is_quiet(&self, now: u64) -> bool {
        let all_left = !self.rows.is_empty() && self.rows.values().all(|row| row.held == 0);
        self.live(now).next().is_none() && !all_left
    }

    fn newly_spent(&self, known: Option<Row>, request: &Request, rules: Rules) -> u64 {
        let counted = match known {
            Some(row) if rules.once => row.spent,
            None if request.born != self.born => 0,
            _ => request.confirmed,
        };
        request.spent.saturating_sub(counted)
    }

    fn live(&self, now: u64) -> impl Iterator<Item = (ServerId, &Row)> {
        self.rows.iter().filter(move |(_, row)| row.expires > now).map(|(id, row)| (*id, row))
    }

    fn reply(&self, now: u64, held: u64) -> Reply {
        let servers = u32::try_from(self.live(now).count()).unwrap_or(u32::MAX);
        Reply { held, servers, spent: self.spent, born: self.born, at: now }
    }

    /// The max-min fair share of a server, and an equal part of what no server wants.
    fn fair_share(&self, now: u64, total: u64, server: ServerId) -> u64 {
        let count = self.live(now).count() as u64;
        let least = total / (LEAST * count);
        let mut rows: Vec<_> =
            self.live(now).map(|(id, row)| (row.wanted.max(least), order(id, now), id, row)).collect();
        rows.sort_by_key(|(demand, order, ..)| (*demand, *order));
        let (mut shares, mut left) = (BTreeMap::new(), total);
        for (count, (demand, _, id, _)) in (1..=count).rev().zip(&rows) {
            let share = (*demand).min(left / count);
            left -= share;
            shares.insert(*id, share);
        }
        for (count, (_, _, id, _)) in (1..=count).rev().zip(&rows) {
            let more = left / count;
            left -= more;
            *shares.entry(*id).or_default() += more;
        }
        shares.get(&server).copied().unwrap_or_default()
    }

    /// What servers hold at this time.
    pub(super) fn held(&self, now: u64) -> u64 {
        self.live(now).map(|(_, row)| row.held).sum()
    }
}

/// The order of servers of equal demand. It changes from one lease to the next, so that what cannot be divided goes round.
fn order(ServerId(id): ServerId, now: u64) -> u64 {
    let turn = now / millis(LEASE) % PRIME * TURN % PRIME + 1;
    id % PRIME * turn % PRIME
}

const _: () = assert!(LARGEST < 1 << ServerId::BITS);
