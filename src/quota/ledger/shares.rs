//! What this server has of quotas that several servers share, and what it could use.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    Ledger,
    dispatch::{Begun, tell},
};
use crate::{
    failover::routes::Target,
    proto::QuotaSharing,
    quota::{
        model::{Model, Shares},
        slots::{Claim, Share, initial_share},
    },
};

/// How much more is wanted than was used in the last minute, so that a share need not grow with every call: one part of this number.
const MORE: u64 = 2;

/// What the resources of a quota are called in the table.
const KINDS: [&str; 3] = ["tokens", "requests", "streams"];

impl Ledger {
    /// From now on servers share the quotas. This one begins with its initial share of each.
    pub(crate) fn share(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.sharing = QuotaSharing::Shared;
        for model in state.models.values_mut() {
            model.granted(known_or_initial(model), now);
        }
    }

    /// How servers share the quotas.
    pub(crate) fn sharing(&self) -> QuotaSharing {
        match self.state().sharing {
            QuotaSharing::Unspecified => QuotaSharing::None,
            sharing => sharing,
        }
    }

    /// Whether the table of the shares answers.
    pub(crate) fn is_connected(&self, connected: bool) {
        self.state().sharing = if connected { QuotaSharing::Shared } else { QuotaSharing::CutOff };
    }

    /// Waits until calls find no room in a share that is less than the whole.
    pub(crate) async fn wants_more(&self) {
        self.0.wants_more.notified().await;
    }

    /// What this server claims of each quota.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let now = Instant::now();
        let mut state = self.state();
        state.models.iter_mut().flat_map(|(target, model)| claims(target, model, now)).collect()
    }

    /// Takes the shares that were granted, of quotas and of other resources.
    pub(crate) fn granted(&self, granted: &[(Arc<str>, Share)]) {
        let now = Instant::now();
        let mut begun = Begun::new();
        // The limits of callers can be thousands of them.
        let granted: HashMap<&str, u64> = granted.iter().map(|(resource, share)| (&**resource, share.held)).collect();
        let mut state = self.state();
        for (target, model) in &mut state.models {
            let share = |kind: &str| granted.get(name(kind, target).as_str()).copied();
            let [tokens, requests, streams] = KINDS.map(share);
            let Shares { tokens: old_tokens, requests: old_requests, streams: old_streams } = model.shares;
            let shares = Shares {
                tokens: tokens.or(old_tokens),
                requests: requests.or(old_requests),
                streams: streams.or(old_streams),
            };
            model.granted(shares, now);
        }
        self.dispatch_all(&mut state, now, &mut begun);
        drop(state);
        tell(begun);
        self.wake();
    }

    /// Asks for more of a quota of which this server has a share.
    pub(super) fn ask_for_more(&self, model: &Model) {
        let (whole, share) = (Shares::whole(&model.settings), model.shares);
        let is_less = |share: Option<u64>, whole: Option<u64>| share.zip(whole).is_some_and(|(share, all)| share < all);
        if is_less(share.tokens, whole.tokens)
            || is_less(share.requests, whole.requests)
            || is_less(share.streams, whole.streams)
        {
            self.0.wants_more.notify_one();
        }
    }
}

/// The shares of the limits that a quota has. Of a limit that is new it is the initial one.
pub(super) fn known_or_initial(model: &Model) -> Shares {
    let (whole, known) = (Shares::whole(&model.settings), model.shares);
    let of_each = |whole: Option<u64>, known: Option<u64>| whole.map(|limit| known.unwrap_or(initial_share(limit)));
    Shares {
        tokens: of_each(whole.tokens, known.tokens),
        requests: of_each(whole.requests, known.requests),
        streams: of_each(whole.streams, known.streams),
    }
}

fn claims(target: &Target, model: &mut Model, now: Instant) -> Vec<Claim> {
    let (spent, begun) = (model.charged.last_minute(now), model.begun.last_minute(now));
    let waiting = model.queue.len() as u64;
    // Calls that wait could use the whole quota. Otherwise what was used is wanted, and something more.
    let rate =
        |used: u64, capacity: u64| if waiting > 0 { capacity } else { (used + used / MORE).max(1).min(capacity) };
    let Model { settings, reserved, running, .. } = &*model;
    let limits = [
        settings.tokens_per_minute.map(|limit| (limit.get(), 0, rate(spent.saturating_add(*reserved), limit.get()))),
        settings.requests_per_minute.map(|limit| (limit.get(), 0, rate(begun, limit.get()))),
        settings.streams.map(|limit| (limit.get().into(), *running, running.saturating_add(waiting).max(1))),
    ];
    let claim = |(kind, limit): (&&str, Option<(u64, u64, u64)>)| {
        let (capacity, in_use, wanted) = limit?;
        Some(Claim { resource: name(kind, target).into(), capacity, in_use, wanted, spent: 0, lasts: None })
    };
    KINDS.iter().zip(limits).filter_map(claim).collect()
}

/// The name of a resource of a quota, the same at all servers.
fn name(kind: &str, target: &Target) -> String {
    format!("{kind}/{target}")
}
