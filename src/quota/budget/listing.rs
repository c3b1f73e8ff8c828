//! How much of the budgets of a caller is used, for ListQuotas, for the page of the operator and for the metrics.

use super::{
    Budgets,
    account::{ALL, Account, Unit, Which},
    period::Kind,
};
use crate::{
    proto::{CallerQuota, CallerQuotaKind, QuotaUsage},
    quota::settings::Budget,
};

impl Budgets {
    /// The budgets of a caller that has these. Nothing changes, and no period begins.
    pub(crate) fn list(&self, caller: &str, budget: &Budget) -> Vec<CallerQuota> {
        let now = self.0.clock.now();
        let state = self.state();
        let none = Account::default();
        let account = state.accounts.get(caller).unwrap_or(&none);
        let counted = account.counted(now);
        let listed = |which: &Which| {
            let capacity = which.capacity(budget)?;
            let number = counted.number(which.kind);
            let meter = account.periods(which.kind).peek(number);
            let share = meter.limit(which.unit, capacity, self.are_shared()).min(capacity);
            let usage = QuotaUsage {
                limit: capacity,
                share,
                reserved: meter.reserved.of(which.unit),
                used: meter.spent_by_all(which.unit),
                free: share.saturating_sub(meter.taken(which.unit)),
            };
            let reset_time = Some(which.kind.end_of(number).into());
            Some(CallerQuota { kind: kind(*which).into(), usage: Some(usage), reset_time })
        };
        // In the order of the contract: the day first.
        let mut listed: Vec<_> = ALL.iter().filter_map(listed).collect();
        listed.sort_by_key(|quota| quota.kind);
        listed
    }
}

fn kind(which: Which) -> CallerQuotaKind {
    match (which.unit, which.kind) {
        (Unit::Tokens, Kind::Day) => CallerQuotaKind::TokensPerDay,
        (Unit::Tokens, Kind::Month) => CallerQuotaKind::TokensPerMonth,
        (Unit::Micros, Kind::Day) => CallerQuotaKind::CostMicrosPerDay,
        (Unit::Micros, Kind::Month) => CallerQuotaKind::CostMicrosPerMonth,
    }
}
