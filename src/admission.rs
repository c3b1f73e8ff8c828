//! Admission control: who may call, how many calls run at once, and how much a client may use in a minute.
//!
//! The [`Permit`] lives in the call, not in the handler: a stream holds its permits until it ends.
//!
//! - [`client_id`] who calls
//! - [`concurrency_limit`] how many streams at once
//! - [`rate_limit`] how many requests and tokens a minute

pub mod client_id;
mod concurrency_limit;
mod rate_limit;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use self::{
    client_id::ClientId,
    concurrency_limit::{ConcurrencyLimit, StreamPermit},
    rate_limit::{RateLimit, Refused},
};
use crate::error::{Error, Quota, Reason};

/// The limits of a server. Those that are `None` do not exist.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// The most streams at once.
    pub streams: usize,
    /// The most streams of one caller at once.
    pub streams_per_caller: Option<usize>,
    /// The most streams to one model, or route, at once.
    pub streams_per_model: Option<usize>,
    /// The most requests of one caller in a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// The most tokens of one caller in a minute: what a request may generate is reserved, what it used is settled.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// What is reserved for a request that sets no `max_tokens`.
    pub reserved_tokens: u32,
    /// How long a call may wait for a place. Zero: not at all.
    pub queue_time: Duration,
    /// How many calls may wait.
    pub queue_length: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            streams: 10_000,
            streams_per_caller: None,
            streams_per_model: None,
            requests_per_minute: None,
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
    tokens: Option<RateLimit>,
    reserved_tokens: u32,
    queue: Semaphore,
    queue_time: Duration,
}

/// The right to one call, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Given back when the stream ends.
    pub(crate) places: StreamPermits,
    /// Settled when it is known what was used, which for an abandoned call that is read on is later.
    pub(crate) reservation: Reservation,
}

/// StreamPermits among the running streams.
#[derive(Debug)]
pub(crate) struct StreamPermits {
    _places: Vec<StreamPermit>,
}

/// The tokens set aside for a call.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: AdmissionControl,
    client: ClientId,
    tokens: u32,
}

/// One of the limits on streams, and whose.
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
            tokens: settings.tokens_per_minute.map(RateLimit::new),
            reserved_tokens,
            queue: Semaphore::new(queue_length.min(Semaphore::MAX_PERMITS)),
            queue_time,
        }))
    }

    /// Lets a call in that may generate so many tokens, or says which limit is in its way. Waits only if there is a queue.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) async fn admit(&self, client: ClientId, model: &str, max_tokens: Option<u32>) -> Result<Permit, Error> {
        let places = self.places(&client, model).await?;
        self.request(&client)?;
        let tokens = if self.0.tokens.is_some() { max_tokens.unwrap_or(self.0.reserved_tokens) } else { 0 };
        let reservation = self.reserve(client, tokens)?;
        Ok(Permit { places: StreamPermits { _places: places }, reservation })
    }

    /// Lets a call in that generates nothing: it needs no place and no tokens.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) fn admit_unary(&self, client: &ClientId) -> Result<(), Error> {
        self.request(client)
    }

    /// Forgets the callers that have used nothing lately.
    pub(crate) fn forget_idle(&self) {
        for rate in self.0.requests.iter().chain(&self.0.tokens) {
            rate.forget_idle();
        }
    }

    async fn places(&self, client: &ClientId, model: &str) -> Result<Vec<StreamPermit>, Error> {
        // The server's own is the last, so that nobody holds one of it while waiting for another.
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
        waited.await.map_err(|_| full.refusal(&format!(", and no place came free within {:?}", self.0.queue_time)))
    }

    fn request(&self, client: &ClientId) -> Result<(), Error> {
        let Some(rate) = &self.0.requests else { return Ok(()) };
        rate.take(client, 1)
            .map_err(|refused| too_many(client, rate, refused, "--requests-per-minute", "requests", "Send fewer"))
    }

    fn reserve(&self, client: ClientId, tokens: u32) -> Result<Reservation, Error> {
        if let Some(rate) = &self.0.tokens
            && let Err(refused) = rate.take(&client, tokens)
        {
            let what = format!("tokens, and this request may generate {tokens}");
            return Err(too_many(&client, rate, refused, "--tokens-per-minute", &what, "Set a lower max_tokens"));
        }
        Ok(Reservation { limits: self.clone(), client, tokens })
    }
}

impl Reservation {
    /// What the call has really used. Without a call to this the reservation stands, because nobody knows better.
    pub(crate) fn settle(&self, used: u32) {
        if let Some(rate) = &self.limits.0.tokens {
            rate.settle(&self.client, self.tokens, used);
        }
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
