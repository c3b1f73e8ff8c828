//! Admission control: concurrency limits, rate limits, and a limit for the memory of requests.
//!
//! The permits of a stream are held by the call and not by the handler, because a stream outlives its handler.
//!
//! - [`client`] the client of a call, and its own limits
//! - [`concurrency_limit`] limits the running streams
//! - [`estimate`] estimates the tokens of a request
//! - `failure_limit` limits the refused credentials of an address
//! - [`gcra`] the algorithm of the rate limits
//! - [`rate_limit`] limits requests and tokens per minute
//! - `request_memory` limits the memory of requests

pub mod client;
mod concurrency_limit;
pub(crate) mod estimate;
pub(crate) mod failure_limit;
mod gcra;
mod rate_limit;
pub(crate) mod request_memory;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use self::{
    client::Client,
    concurrency_limit::{ConcurrencyLimit, StreamPermit},
    estimate::Estimate,
    gcra::{Rate, Refused},
    rate_limit::{Bucket, RateLimit},
};
use crate::{
    error::{Error, Quota, Reason},
    proto::GenerateRequest,
};

/// The queue is divided by this number: a client can have one part of it.
const QUEUE_SHARE: usize = 4;

/// The default rate of methods that call no model: enough for a page that lists and opens conversations.
const OTHER_REQUESTS: u32 = 1_200;

/// The limits of a server. `None` means no limit. A client can have limits of its own in place of those for every client.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// The maximum number of running streams.
    pub streams: usize,
    /// The maximum number of running streams of one client.
    pub streams_per_caller: Option<usize>,
    /// The maximum number of running streams of one model or route.
    pub streams_per_model: Option<usize>,
    /// The maximum number of requests per minute of one client to methods that call no model.
    pub other_requests_per_minute: Option<NonZeroU32>,
    /// The maximum number of requests per minute of one client to methods that call a model.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The maximum number of tokens per minute of one client. A call reserves tokens when it begins, and settles its usage when it ends.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// The output tokens that are reserved for a request without `max_tokens`.
    pub reserved_tokens: u32,
    /// The time for which a call can wait for a permit. Zero means that calls do not wait.
    pub queue_time: Duration,
    /// The maximum number of waiting calls.
    pub queue_length: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            streams: 10_000,
            streams_per_caller: Some(1_000),
            streams_per_model: None,
            requests_per_minute: None,
            other_requests_per_minute: NonZeroU32::new(OTHER_REQUESTS),
            tokens_per_minute: None,
            reserved_tokens: 4_096,
            queue_time: Duration::ZERO,
            queue_length: 100,
        }
    }
}

/// The limits of a running server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionControl(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: LimitSettings,
    all: Arc<ConcurrencyLimit>,
    per_caller: Arc<ConcurrencyLimit>,
    per_model: Arc<ConcurrencyLimit>,
    requests: RateLimit,
    other_requests: RateLimit,
    tokens: RateLimit,
    queue: Semaphore,
    /// Limits the waiting calls of one client.
    queue_per_client: Arc<ConcurrencyLimit>,
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

/// The tokens that are reserved for a call.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: AdmissionControl,
    /// `None` if the tokens of the client are not limited.
    bucket: Option<Bucket>,
    reserved: Estimate,
}

/// The reservation of a call that is not admitted yet. Dropping it releases the tokens.
struct PendingReservation(Option<Reservation>);

/// A concurrency limit and its subject.
struct NamedLimit<'a> {
    streams: &'a Arc<ConcurrencyLimit>,
    limit: usize,
    flag: &'static str,
    subject: String,
}

impl AdmissionControl {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        Self(Arc::new(Inner {
            settings: settings.clone(),
            all: Arc::default(),
            per_caller: Arc::default(),
            per_model: Arc::default(),
            requests: RateLimit::new(),
            other_requests: RateLimit::new(),
            tokens: RateLimit::new(),
            queue: Semaphore::new(settings.queue_length.min(Semaphore::MAX_PERMITS)),
            queue_per_client: Arc::default(),
        }))
    }

    /// Admits a call: reserves its tokens and takes the permits of its stream. It waits only if there is a queue.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) async fn admit(&self, client: &Client, model: &str, request: &GenerateRequest) -> Result<Permit, Error> {
        // Before the queue, so that a client beyond its rate does not fill it.
        let pending = PendingReservation(Some(self.reserve(client, request)?));
        let permits = self.stream_permits(client, model).await?;
        let reservation = pending.admitted()?;
        Ok(Permit { streams: StreamPermits { _permits: permits }, reservation })
    }

    /// Applies the request rate of a client. Methods that call a model have a separate limit.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) fn check_rate(&self, client: &Client, generating: bool) -> Result<(), Error> {
        let Inner { settings, requests, other_requests, .. } = &*self.0;
        let own = &client.limits;
        let (rates, rate, flag) = if generating {
            (requests, own.requests_per_minute.or(settings.requests_per_minute), "--requests-per-minute")
        } else {
            let rate = own.other_requests_per_minute.or(settings.other_requests_per_minute);
            (other_requests, rate, "--other-requests-per-minute")
        };
        let Some(bucket) = bucket(client, rate) else { return Ok(()) };
        rates.take(&bucket, 1).map_err(|refused| too_many(&bucket, refused, flag, "requests", "Send fewer"))
    }

    /// Removes the state of clients that have their whole rate again.
    pub(crate) fn forget_idle(&self) {
        for rates in [&self.0.requests, &self.0.other_requests, &self.0.tokens] {
            rates.forget_idle();
        }
    }

    async fn stream_permits(&self, client: &Client, model: &str) -> Result<Vec<StreamPermit>, Error> {
        let limits = self.stream_limits(client, model);
        let LimitSettings { queue_time, queue_length, .. } = self.0.settings;
        let mut permits = Vec::with_capacity(limits.len());
        let Some(full) = limits.iter().find(|limit| match limit.streams.try_acquire(&limit.subject, limit.limit) {
            Some(permit) => {
                permits.push(permit);
                false
            }
            None => true,
        }) else {
            return Ok(permits);
        };
        drop(permits);
        if queue_time.is_zero() {
            return Err(full.refusal(""));
        }
        let share = (queue_length / QUEUE_SHARE).max(1);
        let Some(_share) = self.0.queue_per_client.try_acquire(&client.id.to_string(), share) else {
            return Err(full.refusal(", and the client's share of the queue is full"));
        };
        let Ok(_waiting) = self.0.queue.try_acquire() else {
            return Err(full.refusal(", and the queue is full"));
        };
        let waited = timeout(queue_time, async {
            let mut permits = Vec::with_capacity(limits.len());
            for limit in &limits {
                permits.extend(limit.streams.acquire(&limit.subject, limit.limit).await);
            }
            permits
        });
        waited.await.map_err(|_| full.refusal(&format!(", and no permit was released within {queue_time:?}")))
    }

    /// The limits that a stream counts against. The server's own is the last, so that no call holds one of its permits while it waits for
    /// another.
    fn stream_limits(&self, client: &Client, model: &str) -> Vec<NamedLimit<'_>> {
        let Inner { settings, all, per_caller, per_model, .. } = &*self.0;
        let of_client = client.limits.max_streams.or(settings.streams_per_caller);
        [
            (per_caller, of_client, "--max-streams-per-caller", format!("caller:{}", client.id)),
            (per_model, settings.streams_per_model, "--max-streams-per-model", format!("model:{model}")),
            (all, Some(settings.streams), "--max-streams", "server".to_owned()),
        ]
        .into_iter()
        .filter_map(|(streams, limit, flag, subject)| Some(NamedLimit { streams, limit: limit?, flag, subject }))
        .collect()
    }

    fn reserve(&self, client: &Client, request: &GenerateRequest) -> Result<Reservation, Error> {
        let settings = &self.0.settings;
        let bucket = bucket(client, client.limits.tokens_per_minute.or(settings.tokens_per_minute));
        let mut reserved = Estimate::default();
        if let Some(bucket) = &bucket {
            reserved = Estimate::of(request, settings.reserved_tokens);
            let Estimate { input, output } = reserved;
            self.0.tokens.take(bucket, reserved.total()).map_err(|refused| {
                let advice = format!(
                    "This request has about {input} input tokens and can generate {output}: set a lower max_tokens"
                );
                too_many(bucket, refused, "--tokens-per-minute", "tokens", &advice)
            })?;
        }
        Ok(Reservation { limits: self.clone(), bucket, reserved })
    }
}

impl PendingReservation {
    fn admitted(mut self) -> Result<Reservation, Error> {
        self.0.take().ok_or_else(|| Error::new(Reason::Internal, "a reservation was admitted twice"))
    }
}

impl Drop for PendingReservation {
    fn drop(&mut self) {
        if let Some(reservation) = &self.0 {
            reservation.settle(0);
        }
    }
}

impl Reservation {
    /// Replaces the estimate by the usage of the call. A reservation that is not settled counts as used.
    pub(crate) fn settle(&self, used: u32) {
        if let Some(bucket) = &self.bucket {
            self.limits.0.tokens.settle(bucket, self.reserved.total(), used);
        }
    }

    /// Settles the estimated input and no output, for a request that reached Bedrock and generated nothing.
    pub(crate) fn settle_input(&self) {
        self.settle(self.reserved.input);
    }
}

impl NamedLimit<'_> {
    fn refusal(&self, why: &str) -> Error {
        let Self { limit, flag, subject, .. } = self;
        let description = format!("{subject} can have {limit} running streams ({flag}){why}");
        let message = format!("{description}. Try again when a stream has ended");
        Error::new(Reason::LocalLimit, message).with_quota(Quota { subject: subject.clone(), description })
    }
}

/// The bucket of a client whose rate is limited.
fn bucket(client: &Client, per_minute: Option<NonZeroU32>) -> Option<Bucket> {
    per_minute.map(|per_minute| Bucket { client: client.id.clone(), rate: Rate::per_minute(per_minute) })
}

fn too_many(bucket: &Bucket, refused: Refused, flag: &str, what: &str, advice: &str) -> Error {
    let subject = format!("caller:{}", bucket.client);
    let description = format!("{subject} can have {} {what} per minute ({flag})", bucket.rate.units());
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

#[cfg(test)]
mod tests;
