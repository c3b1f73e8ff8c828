//! Shares quotas, the limits and budgets of callers, and what circuit breakers have learned, with the other servers that use the same Redis.
//!
//! [`Sharing::run`] renews the shares; calls use what was granted and wait for no Redis.

use std::sync::Arc;

use super::{
    ledger::Ledger,
    slots::{Claim, Ejection, Resources, Share, Slots},
};
use crate::{
    admission::AdmissionControl,
    failover::{
        circuit_breaker::CircuitBreakers,
        routes::{Target, is_region},
    },
    redis::{Probe, connection::Connection},
};

/// The resource that every server claims, so that each knows how many there are, whatever else they share.
const SERVERS: &str = "servers";

/// What this server shares.
#[derive(Debug)]
pub(crate) struct Sharing {
    slots: Slots,
    shared: Shared,
}

#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    admission: AdmissionControl,
    breakers: CircuitBreakers,
    /// The region of a target that names none.
    home: String,
}

impl Sharing {
    /// Shares the quotas of this ledger, and the limits and budgets of callers, through this Redis, from the initial share on.
    ///
    /// # Errors
    /// [`Probe::Misconfigured`] if this Redis cannot be used. A Redis that is away is no error.
    pub(crate) async fn open(
        connection: &Connection,
        home: &str,
        ledger: Ledger,
        admission: AdmissionControl,
        breakers: CircuitBreakers,
    ) -> Result<Self, Probe> {
        let slots = Slots::open(connection).await?;
        ledger.share();
        admission.budgets().share();
        admission.share();
        Ok(Self { slots, shared: Shared { ledger, admission, breakers, home: home.to_owned() } })
    }

    /// Renews the shares while it is polled.
    pub(crate) async fn run(&self) {
        let asks = async {
            loop {
                tokio::select! {
                    () = self.shared.ledger.wants_more() => {}
                    () = self.shared.admission.wants_more() => {}
                }
                self.slots.notify();
            }
        };
        tokio::join!(self.slots.run(&self.shared), asks);
    }

    /// Gives the shares back, when no call runs any more.
    pub(crate) async fn leave(&self) {
        self.slots.leave(&self.shared).await;
    }
}

impl Resources for Shared {
    fn claims(&self) -> Vec<Claim> {
        let budgets = self.admission.budgets().claims();
        let presence = Claim { resource: SERVERS.into(), capacity: u32::MAX.into(), wanted: 1, ..Claim::default() };
        [presence].into_iter().chain(self.ledger.claims()).chain(budgets).chain(self.admission.claims()).collect()
    }

    fn granted(&self, shares: &[(Arc<str>, Share)]) {
        self.ledger.granted(shares);
        self.admission.budgets().granted(shares);
        self.admission.granted(shares);
    }

    fn is_connected(&self, connected: bool) {
        self.ledger.is_connected(connected);
    }

    fn ejections(&self) -> Vec<Ejection> {
        let ejection = |(target, remaining): (Target, _)| {
            let region = target.region.as_ref().unwrap_or(&self.home);
            Ejection { target: format!("{}@{region}", target.model_id).into(), remaining }
        };
        self.breakers.ejected().into_iter().map(ejection).collect()
    }

    fn learned(&self, ejections: &[Ejection]) {
        for Ejection { target, remaining } in ejections {
            let Some((model_id, region)) = target.rsplit_once('@').filter(|(_, region)| is_region(region)) else {
                continue;
            };
            // A route of this server may name its own region or leave it out.
            let regions = [Some(region.to_owned())].into_iter().chain((region == self.home).then_some(None));
            for region in regions {
                self.breakers.learn(&Target { model_id: model_id.to_owned(), region }, *remaining);
            }
        }
    }
}
