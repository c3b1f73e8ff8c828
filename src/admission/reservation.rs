//! What a call reserves of the rate and of the budgets of its client, until its usage is known.

use super::{
    AdmissionControl, AdmissionRequest, LimitSettings,
    estimate::Estimate,
    rate_limit::{ClientRate, Refused},
};
use crate::{
    error::{Error, Quota, Reason},
    event::Used,
    quota::budget::{Costs, Hold},
};

/// The tokens and the money that are reserved for a call.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: AdmissionControl,
    /// `None` if the tokens of the client are not limited.
    bucket: Option<ClientRate>,
    /// The input tokens that are reserved.
    pub(super) input: u32,
    /// All tokens that are reserved.
    pub(super) reserved: u32,
    /// `None` if the client has no budget.
    pub(super) budget: Option<Hold>,
}

/// The reservation of a call that is not admitted yet. Dropping it releases the tokens.
pub(super) struct PendingReservation(pub(super) Option<Reservation>);

impl AdmissionControl {
    pub(super) fn reserve(&self, settings: &LimitSettings, asked: AdmissionRequest<'_>) -> Result<Reservation, Error> {
        let AdmissionRequest { client, request, route, quotas, .. } = asked;
        let bucket = self.rate_of(client, client.limits.tokens_per_minute.or(settings.tokens_per_minute));
        if bucket.is_none() && !client.has_budget() {
            return Ok(Reservation { limits: self.clone(), bucket: None, input: 0, reserved: 0, budget: None });
        }
        let estimate = Estimate::of(request);
        let (input, output) = (estimate.input, estimate.output_or(settings.reserved_tokens));
        let reserved = input.saturating_add(output);
        if let Some(bucket) = &bucket {
            self.0.tokens.take(bucket, reserved).map_err(|refused| {
                if refused != Refused::Never && self.0.tokens.has_less(&client.id) {
                    self.0.sharing.ask_for_more();
                }
                let advice = format!(
                    "This request has about {input} input tokens and can generate {output}: set a lower max_tokens"
                );
                too_many(bucket, refused, "--tokens-per-minute", "tokens", &advice)
            })?;
        }
        let costs = Costs { estimate, reserved_tokens: settings.reserved_tokens, route, settings: quotas };
        let budget = self.0.budgets.reserve(client, costs).inspect_err(|_| {
            if let Some(bucket) = &bucket {
                self.0.tokens.settle(bucket, reserved, 0);
            }
        })?;
        Ok(Reservation { limits: self.clone(), bucket, input, reserved, budget })
    }
}

impl PendingReservation {
    pub(super) fn admitted(mut self) -> Result<Reservation, Error> {
        self.0.take().ok_or_else(|| Error::new(Reason::Internal, "a reservation was admitted twice"))
    }
}

impl Drop for PendingReservation {
    fn drop(&mut self) {
        if let Some(reservation) = &self.0 {
            reservation.give_back();
        }
    }
}

impl Reservation {
    /// Replaces the estimate by the usage of the answer of this model. A reservation that is not settled counts as used.
    pub(crate) fn settle(&self, used: Used, model_id: &str) {
        self.settle_tokens(used.total());
        if let Some(budget) = &self.budget {
            budget.settle(used, model_id);
        }
    }

    /// Settles the estimated input and no output, for a request that reached Bedrock and generated nothing.
    pub(crate) fn settle_input(&self) {
        self.settle_tokens(self.input);
        if let Some(budget) = &self.budget {
            budget.settle_input();
        }
    }

    /// Settles a call that has used nothing.
    pub(crate) fn give_back(&self) {
        self.settle_tokens(0);
        if let Some(budget) = &self.budget {
            budget.give_back();
        }
    }

    fn settle_tokens(&self, used: u32) {
        if let Some(bucket) = &self.bucket {
            self.limits.0.tokens.settle(bucket, self.reserved, used);
        }
    }
}

pub(super) fn too_many(bucket: &ClientRate, refused: Refused, flag: &str, what: &str, advice: &str) -> Error {
    let subject = format!("caller:{}", bucket.client);
    let description = format!("{subject} can have {} {what} per minute ({flag})", bucket.per_minute);
    let quota = Quota { subject, description: description.clone() };
    match refused {
        Refused::Until(wait) => {
            let message = format!("{description}. {advice}, or try again after {wait:.1?}");
            Error::new(Reason::LocalLimit, message).with_quota(quota).with_retry_after(Some(wait))
        }
        Refused::Never => {
            Error::new(Reason::LocalLimit, format!("{description}. {advice}")).with_quota(quota).without_retry()
        }
    }
}
