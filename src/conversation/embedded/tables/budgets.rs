//! What budgets have spent: a table of its own in the file.

use redb::{Error, ReadableTable, TableDefinition};

use super::{ReadTables, Tables};
use crate::quota::budget::{Amount, Kind, REMEMBERED, SavedAccount, SavedPeriod};

/// The kind of the period, the caller, and the number of the period.
pub(super) type At = (u8, &'static str, u32);

/// Caller, kind and number of the period -> tokens, and millionths of the currency.
pub(super) const BUDGETS: TableDefinition<At, (u64, u64)> = TableDefinition::new("budgets");

const KINDS: [(u8, Kind); 2] = [(0, Kind::Day), (1, Kind::Month)];

impl ReadTables {
    /// What all callers have spent. A kind that this version does not know is left out.
    pub(in super::super) fn budgets(&self) -> Result<Vec<SavedAccount>, Error> {
        let mut accounts: Vec<SavedAccount> = Vec::new();
        for entry in self.budgets.iter()? {
            let (at, spent) = entry?;
            let ((kind, caller, number), (tokens, micros)) = (at.value(), spent.value());
            let Some((_, kind)) = KINDS.into_iter().find(|(known, _)| *known == kind) else { continue };
            let period = SavedPeriod { kind, number, spent: Amount { tokens, micros } };
            match accounts.iter_mut().find(|account| &*account.caller == caller) {
                Some(account) => account.periods.push(period),
                None => accounts.push(SavedAccount { caller: caller.into(), periods: vec![period] }),
            }
        }
        Ok(accounts)
    }
}

impl Tables<'_> {
    /// Replaces what callers have spent in these periods. The oldest period is removed when there are more than are remembered.
    pub(in super::super) fn save_budgets(&mut self, accounts: &[SavedAccount]) -> Result<(), Error> {
        for SavedAccount { caller, periods } in accounts {
            for SavedPeriod { kind, number, spent: Amount { tokens, micros } } in periods {
                let Some((kind, _)) = KINDS.into_iter().find(|(_, known)| known == kind) else { continue };
                let is_new = self.budgets.insert((kind, &**caller, *number), (*tokens, *micros))?.is_none();
                if is_new {
                    self.forget_oldest(kind, caller)?;
                }
            }
        }
        Ok(())
    }

    fn forget_oldest(&mut self, kind: u8, caller: &str) -> Result<(), Error> {
        let all = (kind, caller, 0)..=(kind, caller, u32::MAX);
        let oldest = self.budgets.range(all)?.rev().nth(REMEMBERED).transpose()?.map(|(at, _)| at.value().2);
        if let Some(oldest) = oldest {
            self.budgets.retain_in((kind, caller, 0)..=(kind, caller, oldest), |_, _| false)?;
        }
        Ok(())
    }
}
