//! What a server says of its budgets where several servers share them, and takes from the answer.
//!
//! A budget has a claim in each of its periods. Enforcement uses only what was granted last, so no call waits for the other servers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Budgets,
    account::{ALL, Share, Which},
    period::Kind,
    refusal::key,
};

/// How long the claims of a period go on at least, so that calls can settle after its end.
const SETTLING: Duration = Duration::from_mins(10);

/// What a server says of one budget in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BudgetClaim {
    /// The same at all servers, and another one in each period.
    pub(crate) resource: Arc<str>,
    /// What all servers may spend together.
    pub(crate) capacity: u64,
    /// What running calls have reserved.
    pub(crate) in_use: u64,
    /// What it would reserve if it could, with what is in use.
    pub(crate) wanted: u64,
    /// What it has spent since it runs. It only grows.
    pub(crate) spent: u64,
    /// How long the period lasts, with the time for calls that settle after its end.
    pub(crate) lasts: Duration,
}

/// The budget that a claim is about.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    caller: Arc<str>,
    which: Which,
    number: u32,
    /// What the claim has said.
    spent: u64,
}

/// The claims that were made last, by resource.
pub(super) type Claims = HashMap<Arc<str>, Claimed>;

impl Budgets {
    /// The claims for the budgets of all callers: of the running periods, and of earlier ones with calls that run or with spending that no
    /// claim has reported.
    pub(crate) fn claims(&self) -> Vec<BudgetClaim> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let (mut claims, mut claimed) = (Vec::new(), Claims::new());
        let state = &mut *state;
        for (caller, budget) in &state.configured {
            let account = state.accounts.entry(Arc::clone(caller)).or_default();
            let counted = account.counted(now);
            for kind in [Kind::Day, Kind::Month] {
                account.periods_mut(kind).begin(counted.number(kind));
            }
            for which in ALL {
                let Some(capacity) = which.capacity(budget) else { continue };
                let running = counted.number(which.kind);
                for (number, meter) in account.periods_mut(which.kind).iter_mut() {
                    let (reserved, spent) = (meter.reserved.of(which.unit), meter.spent.of(which.unit));
                    let shared = meter.shared(which.unit);
                    if number != running && reserved == 0 && spent == shared.reported {
                        continue;
                    }
                    let wanted = reserved.saturating_mul(2).saturating_add(std::mem::take(&mut shared.refused));
                    let resource: Arc<str> = format!("budget:{}:{number}:{caller}", key(which)).into();
                    let ends = which.kind.end_of(number).duration_since(now).unwrap_or_default();
                    let claim = Claimed { caller: Arc::clone(caller), which, number, spent };
                    claimed.insert(Arc::clone(&resource), claim);
                    let lasts = ends + SETTLING;
                    claims.push(BudgetClaim { resource, capacity, in_use: reserved, wanted, spent, lasts });
                }
            }
        }
        state.claimed = claimed;
        claims
    }

    /// Takes what was granted for a claim: what spending and reservations of this server may reach in the period, and what all servers have
    /// spent. Returns whether the resource is a budget.
    pub(crate) fn granted(&self, resource: &str, held: u64, spent: u64) -> bool {
        let mut state = self.state();
        let Some(Claimed { caller, which, number, spent: reported }) = state.claimed.get(resource).cloned() else {
            return false;
        };
        let meter = state.accounts.get_mut(&caller).and_then(|account| account.periods_mut(which.kind).get_mut(number));
        if let Some(meter) = meter {
            let shared = meter.shared(which.unit);
            shared.share = Some(Share { held, spent });
            shared.reported = reported;
        }
        true
    }
}
