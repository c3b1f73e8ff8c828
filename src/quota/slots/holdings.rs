//! What a server holds of each resource: it makes the requests for the table, and takes the answers.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    Claim, Share, initial_share,
    table::{Answer, LARGEST, LEASE, Reply, Request},
};

/// The shares of one server.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// The number of the last renewal.
    sequence: u64,
    shares: HashMap<Arc<str>, Holding>,
}

#[derive(Clone, Copy, Debug)]
struct Holding {
    /// What the server may use; of a budget, what its spending may reach.
    limit: u64,
    is_budget: bool,
    /// What has been granted so far replaces the initial share from now on.
    settled: bool,
    /// When the table first answered.
    answered: Option<Instant>,
    spent: u64,
    confirmed: u64,
    born: u64,
}

impl Holding {
    /// Of a server that has not been granted anything.
    fn initial(claim: &Claim) -> Self {
        Self {
            limit: initial_share(claim.capacity).min(LARGEST),
            is_budget: claim.lasts.is_some(),
            settled: false,
            answered: None,
            spent: 0,
            confirmed: 0,
            born: 0,
        }
    }

    /// What the server may use beyond what it has spent.
    fn held(&self, spent: u64) -> u64 {
        if self.is_budget { self.limit.saturating_sub(spent) } else { self.limit }
    }

    /// Takes an answer. Returns whether the share became smaller, so that the table waits for a confirmation.
    fn take(&mut self, request: &Request, reply: &Reply, capacity: u64) -> bool {
        (self.confirmed, self.born) = (request.spent, reply.born);
        let granted = if self.is_budget { request.spent.saturating_add(reply.held) } else { reply.held };
        let first = *self.answered.get_or_insert_with(Instant::now);
        self.settled |= self.is_budget || granted >= initial_share(capacity) || first.elapsed() >= LEASE;
        let limit = if self.settled { granted } else { granted.max(self.limit) };
        let smaller = limit < self.limit;
        self.limit = limit;
        smaller
    }
}

/// What a renewal has brought.
#[derive(Debug, Default)]
pub(super) struct Renewed {
    pub(super) shares: Vec<(Arc<str>, Share)>,
    /// A share became smaller, and the table does not know yet that the server has taken note of it.
    pub(super) unconfirmed: bool,
    /// Resources whose key holds something that is not a table.
    pub(super) foreign: HashSet<Arc<str>>,
}

impl Holdings {
    /// The requests for a renewal. A resource that is no longer claimed is given back.
    pub(super) fn renewal(&mut self, claims: &[Claim]) -> Vec<Request> {
        self.sequence += 1;
        let mut unclaimed: HashSet<_> = self.shares.keys().cloned().collect();
        let mut requests = Vec::with_capacity(claims.len());
        for claim in claims {
            unclaimed.remove(&claim.resource);
            let holding = self.shares.entry(claim.resource.clone()).or_insert_with(|| Holding::initial(claim));
            holding.spent = claim.spent.min(LARGEST);
            let held = holding.held(holding.spent).max(claim.in_use).min(LARGEST);
            requests.push(request(self.sequence, claim, holding, held));
        }
        for resource in unclaimed {
            if let Some(holding) = self.shares.remove(&resource) {
                let claim = Claim { resource, ..Claim::default() };
                requests.push(Request { leaving: true, ..request(self.sequence, &claim, &holding, 0) });
            }
        }
        requests
    }

    /// The requests that give everything back, with what was spent until now.
    pub(super) fn leave(&mut self, claims: &[Claim]) -> Vec<Request> {
        let mut requests = self.renewal(claims);
        self.shares.clear();
        for request in &mut requests {
            (request.leaving, request.held) = (true, 0);
        }
        requests
    }

    /// Takes the answers to the latest renewal.
    pub(super) fn take(&mut self, requests: &[Request], answers: Vec<Answer>) -> Renewed {
        let mut renewed = Renewed::default();
        for (request, answer) in requests.iter().zip(answers) {
            let resource = request.resource.clone();
            let Some(reply) = answer else {
                renewed.foreign.insert(resource);
                continue;
            };
            let Some(holding) = self.shares.get_mut(&resource) else { continue };
            renewed.unconfirmed |= holding.take(request, &reply, request.capacity);
            let share = Share { held: holding.limit, servers: reply.servers, spent: reply.spent };
            renewed.shares.push((resource, share));
        }
        renewed
    }
}

fn request(sequence: u64, claim: &Claim, holding: &Holding, held: u64) -> Request {
    Request {
        resource: claim.resource.clone(),
        sequence,
        capacity: claim.capacity.min(LARGEST),
        held,
        in_use: claim.in_use.min(LARGEST),
        wanted: claim.wanted.min(LARGEST),
        spent: holding.spent,
        confirmed: holding.confirmed,
        born: holding.born,
        lasts: claim.lasts,
        leaving: false,
    }
}
