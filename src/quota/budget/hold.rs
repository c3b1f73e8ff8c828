//! What a call holds of the budgets of its caller, from its admission until its usage is known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    Budgets,
    account::{Amount, Counted},
};
use crate::{
    event::Used,
    quota::settings::{Price, QuotaSettings},
};

/// A reservation. However the call ends, it is settled once. A call whose usage stays unknown has used what it has reserved.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) budgets: Budgets,
    pub(super) caller: Arc<str>,
    pub(super) counted: Counted,
    pub(super) reserved: Amount,
    /// The part of it that is input.
    pub(super) input: Amount,
    /// The prices of the generation of the configuration that the call has.
    pub(super) settings: Arc<QuotaSettings>,
    pub(super) is_settled: AtomicBool,
}

impl Hold {
    /// Settles by the usage that Bedrock has reported, at the price of the model that answered. A model without a price costs what was
    /// reserved.
    pub(crate) fn settle(&self, used: Used, model_id: &str) {
        let price = self.settings.prices.get(model_id).copied();
        let micros = price.map_or(self.reserved.micros, |price: Price| price.of(used));
        self.end(Amount { tokens: used.total().into(), micros });
    }

    /// Settles the estimated input and no output.
    pub(crate) fn settle_input(&self) {
        self.end(self.input);
    }

    /// Settles a call that has used nothing.
    pub(crate) fn give_back(&self) {
        self.end(Amount::default());
    }

    fn end(&self, used: Amount) {
        if !self.is_settled.swap(true, Ordering::AcqRel) {
            self.budgets.settle(&self.caller, self.counted, self.reserved, used);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end(self.reserved);
    }
}
