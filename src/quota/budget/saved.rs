//! What budgets have spent, as a store keeps it over a restart.

use std::sync::Arc;

use super::{
    Budgets,
    account::{Account, Amount},
    period::Kind,
};

/// What a caller has spent in some periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedAccount {
    pub(crate) caller: Arc<str>,
    pub(crate) periods: Vec<SavedPeriod>,
}

/// What a caller has spent in one day or month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedPeriod {
    pub(crate) kind: Kind,
    /// Days or months since 1970.
    pub(crate) number: u32,
    /// With what running calls have reserved, so that those count which the end of the process cuts off.
    pub(crate) spent: Amount,
}

impl Budgets {
    /// Whether there is something to save.
    pub(crate) fn has_changed(&self) -> bool {
        self.state().accounts.values().any(|account| account.is_unsaved)
    }

    /// The periods that have changed since they were saved last. They count as saved from now on.
    pub(crate) fn changes(&self) -> Vec<SavedAccount> {
        let mut state = self.state();
        let unsaved = state.accounts.iter_mut().filter(|(_, account)| account.is_unsaved);
        unsaved.map(|(caller, account)| changes(caller, account)).collect()
    }

    /// These changes could not be saved.
    pub(crate) fn not_saved(&self, changes: &[SavedAccount]) {
        let mut state = self.state();
        for SavedAccount { caller, periods } in changes {
            let Some(account) = state.accounts.get_mut(caller) else { continue };
            for SavedPeriod { kind, number, .. } in periods {
                if let Some(meter) = account.periods_mut(*kind).get_mut(*number) {
                    meter.is_unsaved = true;
                    account.is_unsaved = true;
                }
            }
        }
    }

    /// Takes over what was saved, before the first call.
    pub(crate) fn restore(&self, saved: Vec<SavedAccount>) {
        let mut state = self.state();
        for SavedAccount { caller, mut periods } in saved {
            let account = state.accounts.entry(caller).or_default();
            periods.sort_by_key(|period| period.number);
            for SavedPeriod { kind, number, spent } in periods {
                account.periods_mut(kind).restore(number, spent);
            }
        }
    }
}

fn changes(caller: &Arc<str>, account: &mut Account) -> SavedAccount {
    account.is_unsaved = false;
    let mut periods = Vec::new();
    for kind in [Kind::Day, Kind::Month] {
        for (number, meter) in account.periods_mut(kind).iter_mut().filter(|(_, meter)| meter.is_unsaved) {
            meter.is_unsaved = false;
            periods.push(SavedPeriod { kind, number, spent: meter.spent.plus(meter.reserved) });
        }
    }
    SavedAccount { caller: Arc::clone(caller), periods }
}
