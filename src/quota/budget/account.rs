//! What one caller has spent: a meter for each day and month that is remembered.
//!
//! The wall clock names the period of a call, and it can jump. So a period keeps what was spent in it although the clock has left it: a clock
//! that comes back finds the same meter, and a period that was finished and is forgotten does not begin again.

use std::{collections::BTreeMap, time::SystemTime};

use super::period::Kind;
use crate::quota::{settings::Budget, slots::initial_share};

/// How many periods of a kind are remembered, those included to which only a wrong clock went. The oldest is forgotten when another begins.
pub(crate) const REMEMBERED: usize = 32;

/// Tokens, and what they cost in millionths of the currency of the prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) tokens: u64,
    pub(crate) micros: u64,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Tokens,
    Micros,
}

/// One of the four budgets that a caller can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Which {
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
}

/// All budgets. The first that has no room is the one that is reported: a month ends later than a day.
pub(super) const ALL: [Which; 4] = [
    Which { kind: Kind::Month, unit: Unit::Tokens },
    Which { kind: Kind::Month, unit: Unit::Micros },
    Which { kind: Kind::Day, unit: Unit::Tokens },
    Which { kind: Kind::Day, unit: Unit::Micros },
];

/// What this server may spend of a budget that servers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// What its spending may reach, with the reservations.
    pub(super) held: u64,
    /// What all servers have spent, as far as they have reported it.
    pub(super) spent: u64,
}

/// What is known of one budget in one period.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared {
    /// `None`: nothing was granted yet.
    pub(super) share: Option<Share>,
    /// The largest reservation that found no room in the share since the last claim.
    pub(super) refused: u64,
    /// What the last confirmed claim has reported.
    pub(super) reported: u64,
}

/// What was spent in one period.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    pub(super) spent: Amount,
    pub(super) reserved: Amount,
    pub(super) tokens: Shared,
    pub(super) micros: Shared,
    /// Whether the store has an older state.
    pub(super) is_unsaved: bool,
}

/// The periods of one kind.
#[derive(Debug, Default)]
pub(super) struct Periods {
    meters: BTreeMap<u32, Meter>,
    /// Periods up to this one are finished and forgotten.
    forgotten: Option<u32>,
}

/// The periods in which a call counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) day: u32,
    pub(super) month: u32,
}

/// What one caller has spent.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) days: Periods,
    pub(super) months: Periods,
    /// Whether any of them is unsaved.
    pub(super) is_unsaved: bool,
}

impl Amount {
    pub(super) fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::Micros => self.micros,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), micros: self.micros.saturating_add(other.micros) }
    }

    fn minus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), micros: self.micros.saturating_sub(other.micros) }
    }
}

impl Which {
    /// What it allows. `None`: there is no such budget.
    pub(super) fn capacity(self, budget: &Budget) -> Option<u64> {
        let capacity = match (self.kind, self.unit) {
            (Kind::Day, Unit::Tokens) => budget.tokens_per_day,
            (Kind::Day, Unit::Micros) => budget.cost_per_day,
            (Kind::Month, Unit::Tokens) => budget.tokens_per_month,
            (Kind::Month, Unit::Micros) => budget.cost_per_month,
        };
        capacity.map(u64::from)
    }
}

impl Meter {
    pub(super) fn shared(&mut self, unit: Unit) -> &mut Shared {
        match unit {
            Unit::Tokens => &mut self.tokens,
            Unit::Micros => &mut self.micros,
        }
    }

    fn share(&self, unit: Unit) -> Option<Share> {
        match unit {
            Unit::Tokens => self.tokens.share,
            Unit::Micros => self.micros.share,
        }
    }

    /// What spending and reservations of this server may reach.
    pub(super) fn limit(&self, unit: Unit, capacity: u64, is_shared: bool) -> u64 {
        match self.share(unit) {
            Some(share) => share.held,
            None if is_shared => initial_share(capacity),
            None => capacity,
        }
    }

    /// What all servers have spent, as far as this one knows.
    pub(super) fn spent_by_all(&self, unit: Unit) -> u64 {
        self.share(unit).map_or(0, |share| share.spent).max(self.spent.of(unit))
    }

    /// What this server has spent and reserved.
    pub(super) fn taken(&self, unit: Unit) -> u64 {
        self.spent.plus(self.reserved).of(unit)
    }

    fn reserve(&mut self, asked: Amount) {
        self.reserved = self.reserved.plus(asked);
        self.is_unsaved = true;
    }

    fn settle(&mut self, reserved: Amount, used: Amount) {
        self.reserved = self.reserved.minus(reserved);
        self.spent = self.spent.plus(used);
        self.is_unsaved = true;
    }
}

impl Periods {
    /// The period in which a call of this time counts. One that is finished and forgotten does not begin again: its calls count in the oldest
    /// that is remembered.
    pub(super) fn counted(&self, number: u32) -> u32 {
        let is_forgotten = self.forgotten.is_some_and(|forgotten| number <= forgotten);
        match self.meters.keys().next() {
            Some(oldest) if is_forgotten && !self.meters.contains_key(&number) => *oldest,
            _ => number,
        }
    }

    /// The meter of a period that [`Periods::counted`] has named, as it is.
    pub(super) fn peek(&self, number: u32) -> Meter {
        self.meters.get(&number).copied().unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Meter> {
        self.meters.get_mut(&number)
    }

    /// The same, which begins if it has not.
    pub(super) fn begin(&mut self, number: u32) -> &mut Meter {
        if !self.meters.contains_key(&number) && self.meters.len() >= REMEMBERED {
            // Of periods in the future, which a clock that jumps can begin, the last is forgotten.
            let oldest = self.meters.keys().next().copied().filter(|oldest| *oldest < number);
            if let Some(oldest) = oldest {
                self.meters.remove(&oldest);
                self.forgotten = self.forgotten.max(Some(oldest));
            } else {
                self.meters.pop_last();
            }
        }
        self.meters.entry(number).or_default()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Meter)> {
        self.meters.iter_mut().map(|(number, meter)| (*number, meter))
    }

    /// Takes over what was spent in a period before the server started.
    pub(super) fn restore(&mut self, number: u32, spent: Amount) {
        self.begin(number).spent = spent;
        // The store has no more than are remembered. If it has as many, those before the first were forgotten.
        if self.meters.len() >= REMEMBERED {
            let first = self.meters.keys().next().copied();
            self.forgotten = self.forgotten.max(first.and_then(|first| first.checked_sub(1)));
        }
    }
}

impl Account {
    pub(super) fn periods(&self, kind: Kind) -> &Periods {
        match kind {
            Kind::Day => &self.days,
            Kind::Month => &self.months,
        }
    }

    pub(super) fn periods_mut(&mut self, kind: Kind) -> &mut Periods {
        match kind {
            Kind::Day => &mut self.days,
            Kind::Month => &mut self.months,
        }
    }

    /// The periods in which a call counts that begins now.
    pub(super) fn counted(&self, now: SystemTime) -> Counted {
        Counted {
            day: self.days.counted(Kind::Day.number_at(now)),
            month: self.months.counted(Kind::Month.number_at(now)),
        }
    }

    pub(super) fn reserve(&mut self, counted: Counted, asked: Amount) {
        for kind in [Kind::Day, Kind::Month] {
            self.periods_mut(kind).begin(counted.number(kind)).reserve(asked);
        }
        self.is_unsaved = true;
    }

    /// Replaces a reservation by what was used. A period that is forgotten counts nothing.
    pub(super) fn settle(&mut self, counted: Counted, reserved: Amount, used: Amount) {
        for kind in [Kind::Day, Kind::Month] {
            if let Some(meter) = self.periods_mut(kind).get_mut(counted.number(kind)) {
                meter.settle(reserved, used);
            }
        }
        self.is_unsaved = true;
    }
}

impl Counted {
    pub(super) fn number(self, kind: Kind) -> u32 {
        match kind {
            Kind::Day => self.day,
            Kind::Month => self.month,
        }
    }
}
