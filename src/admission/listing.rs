//! How much of its limits and budgets a client uses, for ListQuotas and for the page of the operator.

use super::{AdmissionControl, CALLER, Client, LimitSettings, rate_limit::RateLimit};
use crate::proto::{CallerQuota, CallerQuotaKind, QuotaUsage};

impl AdmissionControl {
    /// The limits of a client that there are, and its budgets. Nothing is taken.
    pub(crate) fn list(&self, settings: &LimitSettings, client: &Client) -> Vec<CallerQuota> {
        let own = &client.limits;
        let streams = own.max_streams.or(settings.streams_per_caller).map(|limit| {
            let subject = format!("{CALLER}{}", client.id);
            let running = u64::try_from(self.0.per_caller.taken(&subject)).unwrap_or(u64::MAX);
            let share = self.0.per_caller.share_of(&subject).unwrap_or(limit).min(limit);
            let [limit, share] = [limit, share].map(|number| u64::try_from(number).unwrap_or(u64::MAX));
            let free = share.saturating_sub(running);
            quota(CallerQuotaKind::Streams, QuotaUsage { limit, share, reserved: running, used: 0, free })
        });
        let rates = [
            (
                CallerQuotaKind::RequestsPerMinute,
                &self.0.requests,
                own.requests_per_minute.or(settings.requests_per_minute),
            ),
            (CallerQuotaKind::TokensPerMinute, &self.0.tokens, own.tokens_per_minute.or(settings.tokens_per_minute)),
        ];
        let rates = rates.into_iter().filter_map(|(kind, rates, rate): (_, &RateLimit, _)| {
            let limit = u64::from(rate?.get());
            let (share, used) = rates.taken(&self.rate_of(client, rate)?);
            let (share, used) = (u64::from(share), u64::from(used));
            Some(quota(kind, QuotaUsage { limit, share, reserved: 0, used, free: share.saturating_sub(used) }))
        });
        let budgets = self.0.budgets.list(&client.id.to_string(), &client.budget);
        streams.into_iter().chain(rates).chain(budgets).collect()
    }
}

/// A limit that no time resets.
fn quota(kind: CallerQuotaKind, usage: QuotaUsage) -> CallerQuota {
    CallerQuota { kind: kind.into(), usage: Some(usage), reset_time: None }
}
