//! Admission control: concurrency limits, rate limits, and a limit for the memory of requests.
//!
//! The permits of a stream are held by the call and not by the handler, because a stream outlives its handler.
//!
//! - [`client`] the client of a call, and its own limits
//! - [`concurrency_limit`] limits the running streams
//! - [`estimate`] estimates the tokens of a request
//! - `failure_limit` limits the refused credentials of an address
//! - [`bucket`] what refills evenly
//! - `listing` how much of its limits a client uses
//! - [`rate_limit`] limits requests and tokens per minute
//! - `request_memory` limits the memory of requests
//! - `reservation` what a call reserves until its usage is known
//! - `settings` the limits as they are configured; `shared_limits` the limits of callers that servers share, and `demand`
//!   what they could use here

pub(crate) mod bucket;
pub mod client;
mod concurrency_limit;
mod demand;
pub(crate) mod estimate;
pub(crate) mod failure_limit;
mod listing;
mod rate_limit;
pub(crate) mod request_memory;
mod reservation;
mod settings;
mod shared_limits;

use std::sync::Arc;

use tokio::time::timeout;

pub use self::settings::LimitSettings;
use self::{
    client::Client,
    concurrency_limit::{ConcurrencyLimit, Limit, StreamPermit},
    rate_limit::RateLimit,
    reservation::{PendingReservation, too_many},
    shared_limits::SharedLimits,
};
pub(crate) use self::{reservation::Reservation, settings::Limits};
use crate::{
    error::{Error, Quota, Reason},
    failover::routes::Target,
    proto::GenerateRequest,
    quota::{budget::Budgets, settings::QuotaSettings},
};

/// The queue is divided by this number: a client can have one part of it.
const QUEUE_SHARE: usize = 4;

/// The subject of the limits of all clients together.
const SERVER: &str = "server";

/// The subject of the limits of a client is its name after this.
const CALLER: &str = "caller:";

/// What the calls of a running server have taken. The limits themselves come with each call. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdmissionControl(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Arc<ConcurrencyLimit>,
    per_caller: Arc<ConcurrencyLimit>,
    per_model: Arc<ConcurrencyLimit>,
    requests: RateLimit,
    other_requests: RateLimit,
    tokens: RateLimit,
    budgets: Budgets,
    sharing: SharedLimits,
    /// The waiting calls.
    queue: Arc<ConcurrencyLimit>,
    /// Limits the waiting calls of one client.
    queue_per_client: Arc<ConcurrencyLimit>,
}

/// A call that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionRequest<'a> {
    /// Who makes it.
    pub(crate) client: &'a Client,
    /// The model or route that it names.
    pub(crate) model: &'a str,
    /// The request, with its history.
    pub(crate) request: &'a GenerateRequest,
    /// The targets that it can go to.
    pub(crate) route: &'a [Target],
    /// The settings with the prices of models.
    pub(crate) quotas: &'a Arc<QuotaSettings>,
}

/// What an admitted call holds.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Released when the stream ends.
    pub(crate) streams: StreamPermits,
    /// Settled when the usage is known. For a drained call this is after the end of the stream.
    pub(crate) reservation: Reservation,
}

/// The permits of a running stream. Dropping them releases them.
#[derive(Debug)]
pub(crate) struct StreamPermits {
    _permits: Vec<StreamPermit>,
}

/// A concurrency limit and its subject.
struct NamedLimit<'a> {
    streams: &'a Arc<ConcurrencyLimit>,
    limit: Limit,
    flag: &'static str,
    subject: String,
}

impl AdmissionControl {
    /// With the budgets of callers.
    pub(crate) fn with_budgets(budgets: Budgets) -> Self {
        Self(Arc::new(Inner { budgets, ..Inner::default() }))
    }

    /// What callers have spent.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.0.budgets
    }

    /// Follows limits that have changed: running streams go on, waiting calls get the permits that are free now, and no call gets one until
    /// there are fewer streams than are allowed. `own` is the number of streams that a client has by its own limit.
    pub(crate) fn follow(&self, limits: &Limits, own: impl Fn(&str) -> Option<usize>) {
        let Limits { settings, generation } = limits;
        let limit = |permits: Option<usize>| Limit { permits, generation: *generation };
        let of_caller = |subject: &str| {
            let name = subject.strip_prefix(CALLER).unwrap_or(subject);
            limit(own(name).or(settings.streams_per_caller))
        };
        self.0.all.follow(|_| limit(Some(settings.streams)));
        self.0.per_caller.follow(of_caller);
        self.0.per_model.follow(|_| limit(settings.streams_per_model));
        self.0.queue.follow(|_| limit(Some(settings.queue_length)));
        self.0.queue_per_client.follow(|_| limit(Some(share(settings))));
    }

    /// Admits a call: reserves its tokens and its cost, and takes the permits of its stream. It waits only if there is a queue.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`, `BUDGET_EXHAUSTED`.
    pub(crate) async fn admit(&self, limits: &Limits, asked: AdmissionRequest<'_>) -> Result<Permit, Error> {
        // Before the queue, so that a client beyond its rate or its budget does not fill it.
        let pending = PendingReservation(Some(self.reserve(&limits.settings, asked)?));
        let permits = self.stream_permits(limits, asked.client, asked.model).await?;
        let reservation = pending.admitted()?;
        Ok(Permit { streams: StreamPermits { _permits: permits }, reservation })
    }

    /// Applies the request rate of a client. Methods that call a model have a separate limit.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) fn check_rate(
        &self,
        LimitSettings { requests_per_minute, other_requests_per_minute, .. }: &LimitSettings,
        client: &Client,
        generating: bool,
    ) -> Result<(), Error> {
        let Inner { requests, other_requests, .. } = &*self.0;
        let own = &client.limits;
        let (rates, rate, flag) = if generating {
            (requests, own.requests_per_minute.or(*requests_per_minute), "--requests-per-minute")
        } else {
            let rate = own.other_requests_per_minute.or(*other_requests_per_minute);
            (other_requests, rate, "--other-requests-per-minute")
        };
        let Some(mut rate) = self.rate_of(client, rate) else { return Ok(()) };
        if !generating {
            rate.equal_part = None;
        }
        rates.take(&rate, 1).map_err(|refused| {
            if rates.has_less(&client.id) {
                self.0.sharing.ask_for_more();
            }
            too_many(&rate, refused, flag, "requests", "Send fewer")
        })
    }

    /// Removes the state of clients that have their whole rate again.
    pub(crate) fn forget_idle(&self) {
        for rates in [&self.0.requests, &self.0.other_requests, &self.0.tokens] {
            rates.forget_idle();
        }
    }

    async fn stream_permits(
        &self,
        Limits { settings, generation }: &Limits,
        client: &Client,
        model: &str,
    ) -> Result<Vec<StreamPermit>, Error> {
        let limit = |permits| Limit { permits, generation: *generation };
        let limits = self.stream_limits(settings, limit, client, model);
        let LimitSettings { queue_time, queue_length, .. } = *settings;
        let mut permits = Vec::with_capacity(limits.len());
        let Some(full) = limits.iter().find(|named| match named.streams.try_acquire(&named.subject, named.limit) {
            Some(permit) => {
                permits.push(permit);
                false
            }
            None => true,
        }) else {
            return Ok(permits);
        };
        drop(permits);
        if full.has_less() {
            self.0.sharing.ask_for_more();
        }
        if queue_time.is_zero() {
            return Err(full.refusal(""));
        }
        let share = limit(Some(share(settings)));
        let Some(_share) = self.0.queue_per_client.try_acquire(&client.id.to_string(), share) else {
            return Err(full.refusal(", and the client's share of the queue is full"));
        };
        let Some(_waiting) = self.0.queue.try_acquire(SERVER, limit(Some(queue_length))) else {
            return Err(full.refusal(", and the queue is full"));
        };
        let waited = timeout(queue_time, async {
            loop {
                let mut permits = Vec::with_capacity(limits.len());
                for NamedLimit { streams, subject, limit, .. } in &limits {
                    permits.extend(streams.acquire(subject, *limit).await);
                }
                if !permits.iter().any(StreamPermit::is_in_excess) {
                    return permits;
                }
            }
        });
        waited.await.map_err(|_| full.refusal(&format!(", and no permit was released within {queue_time:?}")))
    }

    /// What a stream counts against, also if there is no limit now, because a reload can bring one. The server's own limit is the last, so
    /// that no call holds one of its permits while it waits for another.
    fn stream_limits(
        &self,
        settings: &LimitSettings,
        limit: impl Fn(Option<usize>) -> Limit,
        client: &Client,
        model: &str,
    ) -> [NamedLimit<'_>; 3] {
        let Inner { all, per_caller, per_model, .. } = &*self.0;
        let of_client = client.limits.max_streams.or(settings.streams_per_caller);
        [
            (per_caller, of_client, "--max-streams-per-caller", format!("{CALLER}{}", client.id)),
            (per_model, settings.streams_per_model, "--max-streams-per-model", format!("model:{model}")),
            (all, Some(settings.streams), "--max-streams", SERVER.to_owned()),
        ]
        .map(|(streams, permits, flag, subject)| NamedLimit { streams, limit: limit(permits), flag, subject })
    }
}

impl NamedLimit<'_> {
    /// Whether this server has less than the whole limit, because servers share it.
    fn has_less(&self) -> bool {
        let Self { streams, limit, subject, .. } = self;
        streams.share_of(subject).zip(limit.permits).is_some_and(|(share, limit)| share < limit)
    }

    fn refusal(&self, why: &str) -> Error {
        let Self { streams, limit, flag, subject } = self;
        let permits = streams.limit_of(subject).or(limit.permits).unwrap_or(usize::MAX);
        let description = format!("{subject} can have {permits} running streams ({flag}){why}");
        let message = format!("{description}. Try again when a stream has ended");
        Error::new(Reason::LocalLimit, message).with_quota(Quota { subject: subject.clone(), description })
    }
}

/// The part of the queue that a client can have.
fn share(settings: &LimitSettings) -> usize {
    (settings.queue_length / QUEUE_SHARE).max(1)
}

#[cfg(test)]
mod tests;
