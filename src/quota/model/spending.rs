//! What was spent in the last minute, and in all.

use std::time::Duration;

use tokio::time::Instant;

/// What was spent in the last minute, and in all.
#[derive(Debug)]
pub(in crate::quota) struct Spending {
    total: u64,
    /// What was spent in each of the last parts of a minute, the newest last.
    parts: [u64; Spending::PARTS],
    /// The number of the newest part.
    newest: u64,
    start: Instant,
}

impl Spending {
    const PARTS: usize = 12;
    const PART: Duration = Duration::from_secs(5);

    pub(super) fn new(start: Instant) -> Self {
        Self { total: 0, parts: [0; Self::PARTS], newest: 0, start }
    }

    pub(super) fn add(&mut self, units: u64, now: Instant) {
        self.forget(now);
        self.total = self.total.saturating_add(units);
        if let Some(newest) = self.parts.last_mut() {
            *newest = newest.saturating_add(units);
        }
    }

    /// What was added a short time ago was not spent.
    pub(super) fn take_back(&mut self, units: u64, now: Instant) {
        self.forget(now);
        self.total = self.total.saturating_sub(units);
        if let Some(part) = self.parts.iter_mut().rev().find(|part| **part >= units) {
            *part -= units;
        }
    }

    /// Since the start.
    pub(in crate::quota) fn total(&self) -> u64 {
        self.total
    }

    /// In the last minute.
    pub(in crate::quota) fn last_minute(&mut self, now: Instant) -> u64 {
        self.forget(now);
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    fn forget(&mut self, now: Instant) {
        let number = now.saturating_duration_since(self.start).as_secs() / Self::PART.as_secs();
        let passed = usize::try_from(number.saturating_sub(self.newest)).unwrap_or(Self::PARTS).min(Self::PARTS);
        self.parts.rotate_left(passed);
        for part in &mut self.parts[Self::PARTS - passed..] {
            *part = 0;
        }
        self.newest = self.newest.max(number);
    }
}
