//! What a server says of its budgets where several servers share them, and takes from the answer.
//!
//! A budget has a claim in each of its periods. Enforcement uses only what was granted last, so no call waits for the other servers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Budgets, State,
    account::{ALL, Share, Which},
    period::Kind,
    refusal::key,
};
use crate::quota::slots::{self, Claim};

/// How long the claims of a period go on at least, so that calls can settle after its end.
const SETTLING: Duration = Duration::from_mins(10);

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
    pub(crate) fn claims(&self) -> Vec<Claim> {
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
                    claimed.insert(Arc::clone(&resource), Claimed { caller: Arc::clone(caller), which, number, spent });
                    let lasts = Some(ends + SETTLING);
                    claims.push(Claim { resource, capacity, in_use: reserved, wanted, spent, lasts });
                }
            }
        }
        state.claimed = claimed;
        claims
    }

    /// Takes the shares that were granted. Those of other resources are left out.
    pub(crate) fn granted(&self, shares: &[(Arc<str>, slots::Share)]) {
        let mut state = self.state();
        let State { accounts, claimed, .. } = &mut *state;
        for (resource, slots::Share { held, spent, .. }) in shares {
            let Some(Claimed { caller, which, number, spent: reported }) = claimed.get(resource) else { continue };
            let account = accounts.get_mut(caller);
            let Some(meter) = account.and_then(|account| account.periods_mut(which.kind).get_mut(*number)) else {
                continue;
            };
            let of_others = meter.shared(which.unit);
            (of_others.share, of_others.reported) = (Some(Share { held: *held, spent: *spent }), *reported);
        }
    }
}
