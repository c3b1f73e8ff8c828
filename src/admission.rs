//! Admission control: who may call, how many calls run at once, and how much a client may use in a minute.
//!
//! The [`Permit`] lives in the call, not in the handler: a stream holds its permits until it ends.
//!
//! - [`client_id`] who calls
//! - [`concurrency_limit`] how many streams at once
//! - [`estimate`] what a request will use
//! - [`gcra`] the algorithm of the rate limits
//! - [`rate_limit`] how many requests and tokens a minute
//! - `request_memory` how much memory requests may take

pub mod client_id;
mod concurrency_limit;
mod estimate;
mod gcra;
mod rate_limit;
pub(crate) mod request_memory;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use self::{
    client_id::ClientId,
    concurrency_limit::{ConcurrencyLimit, StreamPermit},
    estimate::Estimate,
    gcra::Refused,
    rate_limit::RateLimit,
};
use crate::{
    error::{Error, Quota, Reason},
    proto::GenerateRequest,
};

/// One client may fill this part of the queue: one in so many.
const QUEUE_SHARE: usize = 4;

/// The default rate of methods that call no model: enough for a page that lists and opens conversations.
const OTHER_REQUESTS: u32 = 1_200;

/// The limits of a server. Those that are `None` do not exist.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// The most streams at once.
    pub streams: usize,
    /// The most streams of one caller at once.
    pub streams_per_caller: Option<usize>,
    /// The most streams to one model, or route, at once.
    pub streams_per_model: Option<usize>,
    /// The most requests of one client in a minute to methods that call no model.
    pub other_requests_per_minute: Option<NonZeroU32>,
    /// The most requests of one client in a minute to methods that call a model.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The most tokens of one caller in a minute: what a request may generate is reserved, what it used is settled.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// The output that is reserved for a request that sets no `max_tokens`.
    pub reserved_tokens: u32,
    /// How long a call may wait for a permit. Zero: not at all.
    pub queue_time: Duration,
    /// How many calls may wait.
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

/// The limits at work; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionControl(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<ConcurrencyLimit>,
    per_caller: Option<Arc<ConcurrencyLimit>>,
    per_model: Option<Arc<ConcurrencyLimit>>,
    requests: Option<RateLimit>,
    other_requests: Option<RateLimit>,
    tokens: Option<RateLimit>,
    reserved_tokens: u32,
    queue: Semaphore,
    /// The part of the queue that one client may fill.
    queue_per_client: Arc<ConcurrencyLimit>,
    queue_time: Duration,
}

/// The right to one call.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Given back when the stream ends.
    pub(crate) places: StreamPermits,
    /// Settled when it is known what was used, which for an abandoned call that is read on is later.
    pub(crate) reservation: Reservation,
}

/// The permits of a running stream, given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermits {
    _places: Vec<StreamPermit>,
}

/// The tokens set aside for a call.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: AdmissionControl,
    client: ClientId,
    reserved: Estimate,
}

/// The reservation of a call that is not admitted yet. Dropping it, because the call was refused or its caller left, gives all back.
struct Waiting(Option<Reservation>);

/// A concurrency limit and its subject.
struct NamedLimit<'a> {
    streams: &'a Arc<ConcurrencyLimit>,
    flag: &'static str,
    subject: String,
}

impl AdmissionControl {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        let LimitSettings { reserved_tokens, queue_time, queue_length, .. } = *settings;
        Self(Arc::new(Inner {
            all: ConcurrencyLimit::new(settings.streams),
            per_caller: settings.streams_per_caller.map(ConcurrencyLimit::new),
            per_model: settings.streams_per_model.map(ConcurrencyLimit::new),
            requests: settings.requests_per_minute.map(RateLimit::new),
            other_requests: settings.other_requests_per_minute.map(RateLimit::new),
            tokens: settings.tokens_per_minute.map(RateLimit::new),
            reserved_tokens,
            queue: Semaphore::new(queue_length.min(Semaphore::MAX_PERMITS)),
            queue_per_client: ConcurrencyLimit::new((queue_length / QUEUE_SHARE).max(1)),
            queue_time,
        }))
    }

    /// Admits a call that will use this much. It waits only if there is a queue.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) async fn admit(
        &self,
        client: ClientId,
        model: &str,
        request: &GenerateRequest,
    ) -> Result<Permit, Error> {
        let reserved = match &self.0.tokens {
            Some(_) => Estimate::of(request, self.0.reserved_tokens),
            None => Estimate::default(),
        };
        // Before the queue: a client over its rate must not fill the queue of the others.
        let waiting = Waiting(Some(self.reserve(client.clone(), reserved)?));
        let places = self.places(&client, model).await?;
        let reservation = waiting.admitted()?;
        Ok(Permit { places: StreamPermits { _places: places }, reservation })
    }

    /// Counts a request of a client. Methods that call a model have a rate limit of their own.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) fn check_rate(&self, client: &ClientId, generating: bool) -> Result<(), Error> {
        let (rate, flag) = if generating {
            (&self.0.requests, "--requests-per-minute")
        } else {
            (&self.0.other_requests, "--other-requests-per-minute")
        };
        let Some(rate) = rate else { return Ok(()) };
        rate.take(client, 1).map_err(|refused| too_many(client, rate, refused, flag, "requests", "Send fewer"))
    }

    /// Forgets the clients that have used nothing lately.
    pub(crate) fn forget_idle(&self) {
        for rate in self.0.requests.iter().chain(&self.0.other_requests).chain(&self.0.tokens) {
            rate.forget_idle();
        }
    }

    async fn places(&self, client: &ClientId, model: &str) -> Result<Vec<StreamPermit>, Error> {
        // The server's own limit is the last, so that no call holds one of its permits while it waits for another.
        let limits: Vec<_> = [
            (self.0.per_caller.as_ref(), "--max-streams-per-caller", format!("caller:{client}")),
            (self.0.per_model.as_ref(), "--max-streams-per-model", format!("model:{model}")),
            (Some(&self.0.all), "--max-streams", "server".to_owned()),
        ]
        .into_iter()
        .filter_map(|(streams, flag, subject)| Some(NamedLimit { streams: streams?, flag, subject }))
        .collect();
        let mut places = Vec::with_capacity(limits.len());
        let Some(full) = limits.iter().find(|limit| match limit.streams.try_enter(&limit.subject) {
            Some(place) => {
                places.push(place);
                false
            }
            None => true,
        }) else {
            return Ok(places);
        };
        drop(places);
        if self.0.queue_time.is_zero() {
            return Err(full.refusal(""));
        }
        let Some(_share) = self.0.queue_per_client.try_enter(&client.to_string()) else {
            return Err(full.refusal(", and the client's share of the queue is full"));
        };
        let Ok(_waiting) = self.0.queue.try_acquire() else {
            return Err(full.refusal(", and the queue is full"));
        };
        let waited = timeout(self.0.queue_time, async {
            let mut places = Vec::with_capacity(limits.len());
            for limit in &limits {
                places.extend(limit.streams.enter(&limit.subject).await);
            }
            places
        });
        waited.await.map_err(|_| full.refusal(&format!(", and no permit came free within {:?}", self.0.queue_time)))
    }

    fn reserve(&self, client: ClientId, reserved: Estimate) -> Result<Reservation, Error> {
        let Estimate { input, output } = reserved;
        if let Some(rate) = &self.0.tokens
            && let Err(refused) = rate.take(&client, reserved.total())
        {
            let advice = format!(
                "This request has about {input} tokens of input and may generate {output}: set a lower max_tokens"
            );
            return Err(too_many(&client, rate, refused, "--tokens-per-minute", "tokens", &advice));
        }
        Ok(Reservation { limits: self.clone(), client, reserved })
    }
}

impl Waiting {
    fn admitted(mut self) -> Result<Reservation, Error> {
        self.0.take().ok_or_else(|| Error::new(Reason::Internal, "a reservation was admitted twice"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(reservation) = &self.0 {
            reservation.settle(0);
        }
    }
}

impl Reservation {
    /// Replaces the estimate by the tokens that the call has used. Without it the reservation stands.
    pub(crate) fn settle(&self, used: u32) {
        if let Some(rate) = &self.limits.0.tokens {
            rate.settle(&self.client, self.reserved.total(), used);
        }
    }

    /// Keeps the input and gives back the output: the request reached Bedrock, and nothing was generated.
    pub(crate) fn settle_input(&self) {
        self.settle(self.reserved.input);
    }
}

impl NamedLimit<'_> {
    fn refusal(&self, why: &str) -> Error {
        let Self { streams, flag, subject } = self;
        let limit = streams.limit();
        let description = format!("{subject} may have {limit} streams at once ({flag}){why}");
        let message = format!("{description}. Try again when one has ended");
        Error::new(Reason::LocalLimit, message).with_quota(Quota { subject: subject.clone(), description })
    }
}

fn too_many(client: &ClientId, rate: &RateLimit, refused: Refused, flag: &str, what: &str, advice: &str) -> Error {
    let subject = format!("caller:{client}");
    let description = format!("{subject} may have {} {what} a minute ({flag})", rate.per_minute());
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
