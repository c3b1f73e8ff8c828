//! How much of each quota is used, for ListQuotas and for the metrics.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::Ledger;
use crate::{
    admission::client::ClientId,
    failover::routes::Target,
    proto::{ModelQuota, QuotaUsage},
    quota::model::Model,
};

/// A quota, with what its calls have been charged.
pub(crate) struct Charged {
    pub(crate) quota: ModelQuota,
    /// The tokens since the server started.
    pub(crate) tokens: u64,
}

impl Ledger {
    /// All quotas by model and region, with the waiting calls of this client.
    pub(crate) fn list(&self, client: &ClientId) -> Vec<ModelQuota> {
        self.list_charged(client).into_iter().map(|charged| charged.quota).collect()
    }

    /// The same, with what their calls have been charged.
    pub(crate) fn list_charged(&self, client: &ClientId) -> Vec<Charged> {
        let now = Instant::now();
        let charged = |(target, model): (&Target, &mut Model)| Charged {
            quota: listed(target, model, client, now),
            tokens: model.charged.total(),
        };
        let mut quotas: Vec<_> = self.state().models.iter_mut().map(charged).collect();
        quotas.sort_by(|Charged { quota: one, .. }, Charged { quota: other, .. }| {
            (&one.model_id, &one.region).cmp(&(&other.model_id, &other.region))
        });
        quotas
    }

    /// How many calls of each client wait for quota. Clients without a waiting call are left out.
    pub(crate) fn waiting_calls(&self) -> BTreeMap<String, u32> {
        let mut waiting = BTreeMap::new();
        for waiter in self.state().waiters.values() {
            *waiting.entry(waiter.client.to_string()).or_insert(0) += 1;
        }
        waiting
    }
}

fn listed(target: &Target, model: &mut Model, client: &ClientId, now: Instant) -> ModelQuota {
    let (free_tokens, free_requests) = model.free(now);
    let (charged, begun) = (model.charged.last_minute(now), model.begun.last_minute(now));
    let waiting = model.queue.len();
    let wait = model.estimate((waiting, model.queue.tokens()), 1, now).filter(|wait| waiting > 0 || !wait.is_zero());
    let Model { settings, shares, .. } = &*model;
    let usage = |limit: u64, share: Option<u64>, reserved, used, free: Option<u64>| QuotaUsage {
        limit,
        share: share.unwrap_or(limit).min(limit),
        reserved,
        used,
        free: free.unwrap_or_default(),
    };
    let tokens =
        settings.tokens_per_minute.map(|limit| usage(limit.get(), shares.tokens, model.reserved, charged, free_tokens));
    let requests =
        settings.requests_per_minute.map(|limit| usage(limit.get(), shares.requests, 0, begun, free_requests));
    let streams = settings.streams.map(|limit| {
        let limit = u64::from(limit.get());
        let share = shares.streams.unwrap_or(limit).min(limit);
        usage(limit, shares.streams, model.running, 0, Some(share.saturating_sub(model.running)))
    });
    ModelQuota {
        model_id: target.model_id.clone(),
        region: target.region.clone().unwrap_or_default(),
        tokens_per_minute: tokens,
        requests_per_minute: requests,
        streams,
        safe_share: f64::from(u32::try_from(model.safe_share.millionths(now)).unwrap_or(u32::MAX)) / 1e6,
        waiting_calls: u32::try_from(waiting).unwrap_or(u32::MAX),
        own_waiting_calls: u32::try_from(model.queue.len_of(client)).unwrap_or(u32::MAX),
        estimated_wait: wait.map(|wait| wait.max(Duration::from_millis(1))).and_then(|wait| wait.try_into().ok()),
        throttled_calls: model.throttled,
    }
}
