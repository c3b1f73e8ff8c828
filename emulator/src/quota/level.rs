//! The arithmetic of a minute's quota: how much of it is used at an instant, and when there is room.
//!
//! All amounts are integers. A bucket counts in parts of a token, as many as the minute has nanoseconds, so that it drains without rounding.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::settings::MinuteModel;

/// How much of a quota is used.
#[derive(Debug)]
pub(super) struct Level {
    quota: u64,
    minute: Duration,
    model: Model,
}

#[derive(Debug)]
enum Model {
    /// Holds the quota of one minute, and drains evenly.
    Bucket {
        /// What is used, in tokens times the nanoseconds of a minute.
        used: u128,
        at: Instant,
    },
    /// The sum of what was taken in the last minute.
    Window {
        /// In the order of their numbers and their instants.
        entries: VecDeque<Entry>,
        next: u64,
    },
}

#[derive(Debug)]
struct Entry {
    number: u64,
    at: Instant,
    amount: u64,
}

/// What was taken from a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    amount: u64,
    number: u64,
}

impl Level {
    pub(super) fn new(quota: u64, model: MinuteModel, minute: Duration, now: Instant) -> Self {
        let model = match model {
            MinuteModel::Bucket => Model::Bucket { used: 0, at: now },
            MinuteModel::Window => Model::Window { entries: VecDeque::new(), next: 0 },
        };
        Self { quota, minute, model }
    }

    /// The parts of a token that a bucket counts in.
    fn parts(&self) -> u128 {
        self.minute.as_nanos().max(1)
    }

    /// Lets the time pass until now.
    fn advance(&mut self, now: Instant) {
        let (quota, minute) = (u128::from(self.quota), self.minute);
        match &mut self.model {
            Model::Bucket { used, at } => {
                let passed = now.saturating_duration_since(*at).as_nanos();
                *used = used.saturating_sub(quota.saturating_mul(passed));
                *at = now.max(*at);
            }
            Model::Window { entries, .. } => {
                while entries.front().is_some_and(|entry| now.saturating_duration_since(entry.at) >= minute) {
                    entries.pop_front();
                }
            }
        }
    }

    /// What is used of the quota, rounded up. More than the quota if answers were charged more than they reserved.
    pub(super) fn used(&mut self, now: Instant) -> u64 {
        self.advance(now);
        match &self.model {
            Model::Bucket { used, .. } => u64::try_from(used.div_ceil(self.parts())).unwrap_or(u64::MAX),
            Model::Window { entries, .. } => entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.amount)),
        }
    }

    /// The time after which this amount fits, if nothing else is taken. `None` if it fits now. An amount over the quota never fits: for it
    /// the time is a minute.
    pub(super) fn wait(&mut self, amount: u64, now: Instant) -> Option<Duration> {
        let used = self.used(now);
        let Some(room) = self.quota.checked_sub(amount) else { return Some(self.minute) };
        if used <= room {
            return None;
        }
        Some(match &self.model {
            Model::Bucket { used, .. } => {
                let over = used.saturating_sub(u128::from(room) * self.parts());
                let nanos = over.div_ceil(u128::from(self.quota).max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
            Model::Window { entries, .. } => {
                let mut rest = used;
                let leaving = entries.iter().find(|entry| {
                    rest = rest.saturating_sub(entry.amount);
                    rest <= room
                });
                leaving.map_or(self.minute, |entry| (entry.at + self.minute).saturating_duration_since(now))
            }
        })
    }

    /// Takes this amount, whether or not it fits.
    pub(super) fn take(&mut self, amount: u64, now: Instant) -> Taken {
        self.advance(now);
        let parts = self.parts();
        match &mut self.model {
            Model::Bucket { used, .. } => {
                *used = used.saturating_add(u128::from(amount) * parts);
                Taken { amount, number: 0 }
            }
            Model::Window { entries, next } => {
                let number = *next;
                *next += 1;
                entries.push_back(Entry { number, at: now, amount });
                Taken { amount, number }
            }
        }
    }

    /// Replaces what was taken by the final amount. In a window less counts from when it was taken, and the excess from now.
    pub(super) fn amend(&mut self, taken: Taken, amount: u64, now: Instant) {
        if amount > taken.amount {
            self.take(amount - taken.amount, now);
            return;
        }
        self.advance(now);
        let parts = self.parts();
        match &mut self.model {
            Model::Bucket { used, .. } => *used = used.saturating_sub(u128::from(taken.amount - amount) * parts),
            Model::Window { entries, .. } => {
                // It is no longer there if it was taken more than a minute ago.
                if let Ok(place) = entries.binary_search_by_key(&taken.number, |entry| entry.number) {
                    entries[place].amount = amount;
                }
            }
        }
    }
}
