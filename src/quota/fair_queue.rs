//! The calls that wait for one quota, in a fair order: weighted by caller, and interactive before batch.
//!
//! A caller that has got fewer tokens for its weight comes first, as in a scheduler of processes; the calls of one caller keep their order, so
//! that a burst waits behind itself. What counts is what was given while others waited: a caller that comes new has neither a debt nor a
//! credit. Batch calls are one class with a twentieth of the weight of the interactive class, so that they give way and still go on.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::admission::client::ClientId;

/// What a token counts in service, for a weight of one. A multiple of all weights would be exact; this is exact enough.
const SCALE: u128 = 1_000_000;

/// The weights of the two classes.
const CLASS_WEIGHTS: [u128; 2] = [20, 1];

/// The callers without a waiting call whose debt is remembered while others wait. Who has no identity can come under many names.
const MAX_IDLE: usize = 1_000;

/// The number of a waiting call.
pub(super) type WaiterId = u64;

/// Who waits, and for how much.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: WaiterId,
    pub(super) client: ClientId,
    /// At least 1.
    pub(super) weight: u32,
    pub(super) is_batch: bool,
    /// The tokens that it reserves.
    pub(super) tokens: u64,
}

/// A queue.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    /// The interactive class and the batch class.
    classes: [Class; 2],
}

#[derive(Debug, Default)]
struct Class {
    /// What the class has got, for its weight.
    service: u128,
    callers: HashMap<ClientId, Caller>,
    /// The callers that wait, by what they have got.
    order: BTreeSet<(u128, u64)>,
    /// The callers by their numbers in the order.
    names: HashMap<u64, ClientId>,
    /// The least that a caller can have got: what the last one had when it was served.
    floor: u128,
    next_number: u64,
    length: usize,
}

#[derive(Debug)]
struct Caller {
    number: u64,
    /// What it has got for its weight.
    service: u128,
    waiting: VecDeque<Waiting>,
}

impl FairQueue {
    /// How many calls wait.
    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.length).sum()
    }

    /// How many calls of a client wait.
    pub(super) fn len_of(&self, client: &ClientId) -> usize {
        self.classes.iter().filter_map(|class| class.callers.get(client)).map(|caller| caller.waiting.len()).sum()
    }

    /// Puts a call behind the others of its caller.
    pub(super) fn push(&mut self, waiting: Waiting) {
        let at = usize::from(waiting.is_batch);
        if self.len() == 0 {
            // No call waited, so no class is owed anything.
            self.classes.iter_mut().for_each(|class| class.service = 0);
        } else if self.classes[at].length == 0 {
            // A class has no credit for the time without calls.
            self.classes[at].service = self.classes[at].service.max(self.classes[1 - at].service);
        }
        self.classes[at].push(waiting);
    }

    /// The next call.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.classes[self.next_class()?].first()
    }

    /// Removes the next call, which begins.
    pub(super) fn begin_first(&mut self) -> Option<Waiting> {
        let at = self.next_class()?;
        let begun = self.classes[at].begin_first()?;
        self.classes[at].service += u128::from(begun.tokens.max(1)) * SCALE / CLASS_WEIGHTS[at];
        Some(begun)
    }

    /// Removes a call that has begun elsewhere or no longer waits.
    pub(super) fn remove(&mut self, client: &ClientId, is_batch: bool, id: WaiterId) {
        self.classes[usize::from(is_batch)].remove(client, id);
    }

    /// About how many calls, and how many of their tokens, begin before this one. `None` if it does not wait here.
    pub(super) fn before(&self, client: &ClientId, is_batch: bool, id: WaiterId) -> Option<(usize, u64)> {
        let [interactive, _] = &self.classes;
        let class = &self.classes[usize::from(is_batch)];
        let (calls, tokens) = class.before(client, id)?;
        let ahead = if is_batch { interactive.total() } else { (0, 0) };
        Some((calls + ahead.0, tokens.saturating_add(ahead.1)))
    }

    /// The tokens of all calls.
    pub(super) fn tokens(&self) -> u64 {
        self.classes.iter().map(|class| class.total().1).fold(0, u64::saturating_add)
    }

    fn next_class(&self) -> Option<usize> {
        let [interactive, batch] = &self.classes;
        match (interactive.length, batch.length) {
            (0, 0) => None,
            (_, 0) => Some(0),
            (0, _) => Some(1),
            _ => Some(usize::from(batch.service < interactive.service)),
        }
    }
}

impl Class {
    fn push(&mut self, waiting: Waiting) {
        if self.length == 0 {
            // No call waited, so no caller is owed anything.
            (self.callers, self.names, self.floor) = Default::default();
        } else if self.callers.len() - self.order.len() > MAX_IDLE {
            self.callers.retain(|_, caller| !caller.waiting.is_empty());
            self.names.retain(|_, name| self.callers.contains_key(name));
        }
        self.length += 1;
        let Self { callers, order, names, floor, next_number, .. } = self;
        let caller = callers.entry(waiting.client.clone()).or_insert_with(|| {
            *next_number += 1;
            names.insert(*next_number, waiting.client.clone());
            Caller { number: *next_number, service: *floor, waiting: VecDeque::new() }
        });
        if caller.waiting.is_empty() {
            caller.service = caller.service.max(*floor);
            order.insert((caller.service, caller.number));
        }
        caller.waiting.push_back(waiting);
    }

    fn first(&self) -> Option<&Waiting> {
        let (_, number) = self.order.first()?;
        self.callers.get(self.names.get(number)?)?.waiting.front()
    }

    fn begin_first(&mut self) -> Option<Waiting> {
        let (service, number) = self.order.pop_first()?;
        self.floor = self.floor.max(service);
        let caller = self.callers.get_mut(self.names.get(&number)?)?;
        let begun = caller.waiting.pop_front()?;
        self.length -= 1;
        caller.service += u128::from(begun.tokens.max(1)) * SCALE / u128::from(begun.weight.max(1));
        if !caller.waiting.is_empty() {
            self.order.insert((caller.service, number));
        }
        Some(begun)
    }

    fn remove(&mut self, client: &ClientId, id: WaiterId) {
        let Some(caller) = self.callers.get_mut(client) else { return };
        let before = caller.waiting.len();
        caller.waiting.retain(|waiting| waiting.id != id);
        self.length -= before - caller.waiting.len();
        if caller.waiting.is_empty() {
            self.order.remove(&(caller.service, caller.number));
        }
    }

    fn before(&self, client: &ClientId, id: WaiterId) -> Option<(usize, u64)> {
        let own = self.callers.get(client)?;
        let place = own.waiting.iter().position(|waiting| waiting.id == id)?;
        let weight = |caller: &Caller| u64::from(caller.waiting.front().map_or(1, |waiting| waiting.weight.max(1)));
        let ahead: u64 = own.waiting.iter().take(place).map(|waiting| waiting.tokens).sum();
        let (mut calls, mut tokens) = (place, ahead);
        for other in self.callers.values().filter(|other| other.number != own.number) {
            // While this one gets what is ahead of it, the other gets as much for its weight.
            let most = (ahead + own.waiting[place].tokens).saturating_mul(weight(other)) / weight(own);
            let mut sum = 0;
            for waiting in &other.waiting {
                if sum + waiting.tokens > most {
                    break;
                }
                sum += waiting.tokens;
                calls += 1;
            }
            tokens = tokens.saturating_add(sum);
        }
        Some((calls, tokens))
    }

    fn total(&self) -> (usize, u64) {
        let tokens = self.callers.values().flat_map(|caller| &caller.waiting).map(|waiting| waiting.tokens);
        (self.length, tokens.fold(0, u64::saturating_add))
    }
}

#[cfg(test)]
mod tests;
