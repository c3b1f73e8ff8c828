//! What an answer says of its quota and its cost: `start` what was reserved, `finish` what was charged.

use super::{ledger::reservation::Reservation, settings::Price};
use crate::{
    event::Used,
    proto::{Finish, Start},
};

/// The quota and the price of an answer.
#[derive(Debug, Default)]
pub(crate) struct Billing {
    /// `None`: the target has no quota.
    pub(crate) reservation: Option<Reservation>,
    /// `None`: the model has no price.
    pub(crate) price: Option<Price>,
}

impl Billing {
    /// Tells the caller what was reserved.
    pub(crate) fn begin(&self, start: &mut Start) {
        start.quota_tokens_reserved = self.reservation.as_ref().map(Reservation::tokens);
    }

    /// Settles by the usage that Bedrock has reported.
    pub(crate) fn settle(&mut self, used: Used) -> Option<u64> {
        self.reservation.as_mut().map(|reservation| reservation.settle(used))
    }

    /// Settles, and tells the caller what the answer has cost.
    pub(crate) fn finish(&mut self, used: Option<Used>, finish: &mut Finish) {
        let Some(used) = used else { return };
        finish.quota_tokens_charged = self.settle(used);
        finish.cost_micros = self.price.map(|price| price.of(used));
    }
}
