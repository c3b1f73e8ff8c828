//! What a call needs beside an open door: a place among the running streams, and a share of the caller's minute.
//!
//! Comes after [`crate::request`] and [`crate::shutdown`], before [`crate::attempts`]. The [`Permit`] lives in the call, not in the
//! handler: a stream holds its places until it ends.
//!
//! - `streams` how many at once
//! - `rates` how much a minute

mod rates;
mod streams;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use self::{
    rates::{Rate, Refused},
    streams::{Place, Streams},
};
use crate::{
    caller::Caller,
    error::{Error, Quota, Reason},
};

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
pub(crate) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<Streams>,
    per_caller: Option<Arc<Streams>>,
    per_model: Option<Arc<Streams>>,
    requests: Option<Rate>,
    tokens: Option<Rate>,
    reserved_tokens: u32,
    queue: Semaphore,
    queue_time: Duration,
}

/// The right to one call, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Given back when the stream ends.
    pub(crate) places: Places,
    /// Settled when it is known what was used, which for an abandoned call that is read on is later.
    pub(crate) reservation: Reservation,
}

/// Places among the running streams.
#[derive(Debug)]
pub(crate) struct Places {
    _places: Vec<Place>,
}

/// The tokens set aside for a call.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: Limits,
    caller: Caller,
    tokens: u32,
}

/// One of the limits on streams, and whose.
struct Door<'a> {
    streams: &'a Arc<Streams>,
    flag: &'static str,
    subject: String,
}

impl Limits {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        let LimitSettings { reserved_tokens, queue_time, queue_length, .. } = *settings;
        Self(Arc::new(Inner {
            all: Streams::new(settings.streams),
            per_caller: settings.streams_per_caller.map(Streams::new),
            per_model: settings.streams_per_model.map(Streams::new),
            requests: settings.requests_per_minute.map(Rate::new),
            tokens: settings.tokens_per_minute.map(Rate::new),
            reserved_tokens,
            queue: Semaphore::new(queue_length.min(Semaphore::MAX_PERMITS)),
            queue_time,
        }))
    }

    /// Lets a call in that may generate so many tokens, or says which limit is in its way. Waits only if there is a queue.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) async fn admit(&self, caller: Caller, model: &str, max_tokens: Option<u32>) -> Result<Permit, Error> {
        let places = self.places(&caller, model).await?;
        self.request(&caller)?;
        let tokens = if self.0.tokens.is_some() { max_tokens.unwrap_or(self.0.reserved_tokens) } else { 0 };
        let reservation = self.reserve(caller, tokens)?;
        Ok(Permit { places: Places { _places: places }, reservation })
    }

    /// Lets a call in that generates nothing: it needs no place and no tokens.
    ///
    /// # Errors
    /// `LOCAL_LIMIT`.
    pub(crate) fn admit_unary(&self, caller: &Caller) -> Result<(), Error> {
        self.request(caller)
    }

    /// Forgets the callers that have used nothing lately.
    pub(crate) fn forget_idle(&self) {
        for rate in self.0.requests.iter().chain(&self.0.tokens) {
            rate.forget_idle();
        }
    }

    async fn places(&self, caller: &Caller, model: &str) -> Result<Vec<Place>, Error> {
        // The server's own is the last, so that nobody holds one of it while waiting for another.
        let doors: Vec<_> = [
            (self.0.per_caller.as_ref(), "--max-streams-per-caller", format!("caller:{caller}")),
            (self.0.per_model.as_ref(), "--max-streams-per-model", format!("model:{model}")),
            (Some(&self.0.all), "--max-streams", "server".to_owned()),
        ]
        .into_iter()
        .filter_map(|(streams, flag, subject)| Some(Door { streams: streams?, flag, subject }))
        .collect();
        let mut places = Vec::with_capacity(doors.len());
        let Some(full) = doors.iter().find(|door| match door.streams.try_enter(&door.subject) {
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
            let mut places = Vec::with_capacity(doors.len());
            for door in &doors {
                places.extend(door.streams.enter(&door.subject).await);
            }
            places
        });
        waited.await.map_err(|_| full.refusal(&format!(", and no place came free within {:?}", self.0.queue_time)))
    }

    fn request(&self, caller: &Caller) -> Result<(), Error> {
        let Some(rate) = &self.0.requests else { return Ok(()) };
        rate.take(caller, 1)
            .map_err(|refused| too_many(caller, rate, refused, "--requests-per-minute", "requests", "Send fewer"))
    }

    fn reserve(&self, caller: Caller, tokens: u32) -> Result<Reservation, Error> {
        if let Some(rate) = &self.0.tokens
            && let Err(refused) = rate.take(&caller, tokens)
        {
            let what = format!("tokens, and this request may generate {tokens}");
            return Err(too_many(&caller, rate, refused, "--tokens-per-minute", &what, "Set a lower max_tokens"));
        }
        Ok(Reservation { limits: self.clone(), caller, tokens })
    }
}

impl Reservation {
    /// What the call has really used. Without a call to this the reservation stands, because nobody knows better.
    pub(crate) fn settle(&self, used: u32) {
        if let Some(rate) = &self.limits.0.tokens {
            rate.settle(&self.caller, self.tokens, used);
        }
    }
}

impl Door<'_> {
    fn refusal(&self, why: &str) -> Error {
        let Self { streams, flag, subject } = self;
        let limit = streams.limit();
        let description = format!("{subject} may have {limit} streams at once ({flag}){why}");
        let message = format!("{description}. Try again when one has ended");
        Error::new(Reason::LocalLimit, message).with_quota(Quota { subject: subject.clone(), description })
    }
}

fn too_many(caller: &Caller, rate: &Rate, refused: Refused, flag: &str, what: &str, advice: &str) -> Error {
    let subject = format!("caller:{caller}");
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
