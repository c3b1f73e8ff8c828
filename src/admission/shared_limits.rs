//! The limits of callers that several servers share: each server spends its share of a caller's rates and streams, and claims one only while the
//! caller uses it there.
//!
//! A caller that is new at a server begins there with an equal part of the limit, and not with the tenth of [`crate::quota::slots`], so that it is not
//! refused before the first renewal. So the bound of that module holds for quotas and budgets, and this one for the limits of callers: what
//! comes with time is the limit as the table grants it, and what can be used at once is an equal part at each server that the caller comes to.
//! A server that has just started knows of no other, and its equal part is the whole until its first renewal.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    AdmissionControl, CALLER,
    client::{Client, ClientId},
    demand::Demand,
    rate_limit::ClientRate,
};
use crate::quota::slots::{Claim, Share};

/// What the resources of callers are called in the table.
const TOKENS: &str = "caller-tokens";
const REQUESTS: &str = "caller-requests";
const STREAMS: &str = "caller-streams";

/// Whether the limits of callers are shared.
#[derive(Debug, Default)]
pub(super) struct SharedLimits {
    /// The number of servers that share them, as far as it is known; 0 if they are not shared.
    servers: AtomicU32,
    wants_more: Notify,
}

impl SharedLimits {
    /// The part of a limit with which a caller begins at this server: an equal part of it, so that a caller is not refused before the first
    /// renewal. `None` if limits are not shared.
    fn equal_part(&self, limit: u64) -> Option<u64> {
        let servers = self.servers.load(Ordering::Relaxed);
        (servers > 0).then(|| limit.div_ceil(servers.into()))
    }

    /// Renews the shares soon, because a caller was refused.
    pub(super) fn ask_for_more(&self) {
        if self.servers.load(Ordering::Relaxed) > 0 {
            self.wants_more.notify_one();
        }
    }
}

impl AdmissionControl {
    /// From now on servers share the limits of callers.
    pub(crate) fn share(&self) {
        self.0.sharing.servers.store(1, Ordering::Relaxed);
        self.0.per_caller.share();
    }

    /// Waits until a caller is refused by a limit that servers share.
    pub(crate) async fn wants_more(&self) {
        self.0.sharing.wants_more.notified().await;
    }

    /// The rate of a client, if it has one.
    pub(super) fn rate_of(&self, client: &Client, per_minute: Option<NonZeroU32>) -> Option<ClientRate> {
        let per_minute = per_minute?;
        let is_caller = matches!(client.id, ClientId::Caller(_));
        let share = self.0.sharing.equal_part(per_minute.get().into()).filter(|_| is_caller);
        let equal_part = share.and_then(|share| NonZeroU32::new(u32::try_from(share).ok()?));
        Some(ClientRate { client: client.id.clone(), per_minute, equal_part })
    }

    /// What this server claims for the callers that use it.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let claim = |kind: &str, Demand { caller, capacity, in_use, wanted }: Demand| Claim {
            resource: format!("{kind}/{caller}").into(),
            capacity,
            in_use,
            wanted,
            spent: 0,
            lasts: None,
        };
        let tokens = self.0.tokens.demands().into_iter().map(|demand| claim(TOKENS, demand));
        let requests = self.0.requests.demands().into_iter().map(|demand| claim(REQUESTS, demand));
        let streams = self.0.per_caller.demands(CALLER).into_iter().map(|demand| claim(STREAMS, demand));
        tokens.chain(requests).chain(streams).collect()
    }

    /// Takes the shares that were granted, of callers and of other resources.
    pub(crate) fn granted(&self, shares: &[(Arc<str>, Share)]) {
        if let Some(servers) = shares.iter().map(|(_, share)| share.servers).max() {
            self.0.sharing.servers.store(servers.max(1), Ordering::Relaxed);
            self.0.per_caller.among(servers.max(1));
        }
        for (resource, Share { held, .. }) in shares {
            let Some((kind, caller)) = resource.split_once('/') else { continue };
            let name: Arc<str> = caller.into();
            match kind {
                TOKENS => self.0.tokens.granted(&name, *held),
                REQUESTS => self.0.requests.granted(&name, *held),
                STREAMS => self.0.per_caller.granted(&format!("{CALLER}{caller}"), *held),
                _ => {}
            }
        }
    }
}
