//! The budgets of callers by day and month of UTC, in tokens and in money.
//!
//! A call reserves what it can cost at most before it waits for anything, and settles what it has cost when its usage is known. What was spent
//! and what is reserved never exceeds a budget, except by what calls cost beyond their reservation: the input is an estimate.
//!
//! - `period` days, months and the clock; `account` what one caller has spent in each
//! - `hold` what a call has reserved; `refusal` the error of a call without room
//! - `listing` how much is used; `saved` what a restart keeps; `sharing` what servers share

mod account;
mod hold;
mod listing;
mod period;
mod refusal;
mod saved;
mod sharing;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use self::{
    account::{ALL, Account, Counted, Which},
    period::Clock,
    refusal::Refusal,
    sharing::Claims,
};
pub(crate) use self::{
    account::{Amount, REMEMBERED},
    hold::Hold,
    period::Kind,
    saved::{SavedAccount, SavedPeriod},
};
use crate::{
    admission::{
        client::{Client, ClientId},
        estimate::Estimate,
    },
    error::Error,
    failover::routes::Target,
    quota::settings::{Budget, Price, QuotaSettings},
};

/// What all callers have spent. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budgets(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    clock: Clock,
    /// Whether this server spends shares of what servers have together.
    is_shared: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By caller. A caller that a reload removes keeps its account, so that it has spent the same when it is added again; there are as many
    /// as there were names in the configuration.
    accounts: HashMap<Arc<str>, Account>,
    /// The callers that have budgets.
    configured: BTreeMap<Arc<str>, Budget>,
    claimed: Claims,
}

/// What a call can cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs<'a> {
    pub(crate) estimate: Estimate,
    /// The output tokens that are reserved for a request without `max_tokens`.
    pub(crate) reserved_tokens: u32,
    /// The targets that it can go to.
    pub(crate) route: &'a [Target],
    /// The settings with the prices.
    pub(crate) settings: &'a Arc<QuotaSettings>,
}

impl Budgets {
    /// From now on servers share the budgets. This one begins with its initial share of each.
    pub(crate) fn share(&self) {
        self.0.is_shared.store(true, Ordering::Relaxed);
    }

    fn are_shared(&self) -> bool {
        self.0.is_shared.load(Ordering::Relaxed)
    }

    /// Takes over the budgets of all callers. What was spent stays spent.
    pub(crate) fn follow<'a>(&self, budgets: impl Iterator<Item = (&'a str, Budget)>) {
        let configured = budgets.filter(|(_, budget)| *budget != Budget::default());
        self.state().configured = configured.map(|(caller, budget)| (caller.into(), budget)).collect();
    }

    /// Reserves what a call can cost at most. `None`: the client has no budget.
    ///
    /// # Errors
    /// `BUDGET_EXHAUSTED`. Nothing is reserved.
    pub(crate) fn reserve(&self, client: &Client, costs: Costs<'_>) -> Result<Option<Hold>, Error> {
        let budget = &client.budget;
        if !client.has_budget() {
            return Ok(None);
        }
        let caller = match &client.id {
            ClientId::Caller(name) => Arc::clone(name),
            other => other.to_string().into(),
        };
        if budget.cost_per_day.or(budget.cost_per_month).is_some()
            && let Some(model) = costs.without_price()
        {
            return Err(refusal::without_price(&caller, model));
        }
        let (input, asked) = costs.amounts();
        let counted = self.take(&caller, budget, asked, input)?;
        Ok(Some(Hold {
            budgets: self.clone(),
            caller,
            counted,
            reserved: asked,
            input,
            settings: Arc::clone(costs.settings),
            is_settled: AtomicBool::new(false),
        }))
    }

    fn take(&self, caller: &Arc<str>, budget: &Budget, asked: Amount, input: Amount) -> Result<Counted, Error> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let account = state.accounts.entry(Arc::clone(caller)).or_default();
        let counted = account.counted(now);
        for which in ALL {
            if let Some(refusal) = self.refusal(account, which, budget, counted, asked) {
                drop(state);
                return Err(refusal.error(caller, asked, input, now));
            }
        }
        account.reserve(counted, asked);
        Ok(counted)
    }

    /// Why a budget has no room, if it has none.
    fn refusal(
        &self,
        account: &mut Account,
        which: Which,
        budget: &Budget,
        counted: Counted,
        asked: Amount,
    ) -> Option<Refusal> {
        let capacity = which.capacity(budget)?;
        let (number, asked) = (counted.number(which.kind), asked.of(which.unit));
        let meter = account.periods(which.kind).peek(number);
        let limit = meter.limit(which.unit, capacity, self.are_shared()).min(capacity);
        // What costs nothing is free also when a budget is used up.
        if asked == 0 || meter.taken(which.unit).saturating_add(asked) <= limit {
            return None;
        }
        let (spent, reserved) = (meter.spent_by_all(which.unit), meter.reserved.of(which.unit));
        let is_held_elsewhere = self.are_shared() && spent.saturating_add(reserved).saturating_add(asked) <= capacity;
        if is_held_elsewhere {
            let shared = account.periods_mut(which.kind).begin(number).shared(which.unit);
            shared.refused = shared.refused.max(asked);
        }
        let resets_at = which.kind.end_of(number);
        Some(Refusal { which, capacity, spent, reserved, is_held_elsewhere, resets_at })
    }

    fn settle(&self, caller: &Arc<str>, counted: Counted, reserved: Amount, used: Amount) {
        if let Some(account) = self.state().accounts.get_mut(caller) {
            account.settle(counted, reserved, used);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

impl Costs<'_> {
    /// The first target without a price.
    fn without_price(&self) -> Option<&str> {
        let prices = &self.settings.prices;
        self.route.iter().map(|target| target.model_id.as_str()).find(|model| !prices.contains_key(*model))
    }

    /// What the input costs, and what the call costs at most: at the target where that is the most.
    fn amounts(&self) -> (Amount, Amount) {
        let (input, output) = (self.estimate.input, self.estimate.output_or(self.reserved_tokens));
        let prices = || self.route.iter().filter_map(|target| self.settings.prices.get(&target.model_id));
        let most = |output: u32| prices().map(|price| highest(price, input, output)).max().unwrap_or_default();
        let tokens = u64::from(input) + u64::from(output);
        (Amount { tokens: input.into(), micros: most(0) }, Amount { tokens, micros: most(output) })
    }
}

/// The most that so many tokens can cost in millionths, rounded up. Whether input is written to the prompt cache is not known before.
fn highest(price: &Price, input: u32, output: u32) -> u64 {
    let of_input = price.input.max(price.cache_read).max(price.cache_write);
    let sum = u128::from(input) * u128::from(of_input) + u128::from(output) * u128::from(price.output);
    u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
