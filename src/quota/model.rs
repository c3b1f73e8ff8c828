//! The quota of one model or inference profile in one region: what it has, what running calls have reserved, and who waits.
//!
//! - `spending` what was spent in the last minute

mod spending;

use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

use crate::admission::bucket::Bucket;

use self::spending::Spending;
use super::{fair_queue::FairQueue, input_ratio::InputRatio, safe_share::SafeShare, settings::ModelQuota};

/// The longest time for which a `Retry-After` of Bedrock stops all calls.
const LONGEST_BLOCK: Duration = Duration::from_mins(1);

/// The longest wait that is estimated.
const LONGEST_ESTIMATE: Duration = Duration::from_hours(24);

/// A quota has room again when no call has lacked it for this time. It bounds the lines in the log.
const RECOVERED: Duration = Duration::from_secs(10);

/// The pause after a throttle. It doubles with each further one in a row up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What this server may spend of a quota: all of it, or its share of what servers have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Tokens a minute. `None`: all.
    pub(crate) tokens: Option<u64>,
    /// Requests a minute. `None`: all.
    pub(crate) requests: Option<u64>,
    /// Running streams. `None`: all.
    pub(crate) streams: Option<u64>,
}

impl Shares {
    /// All of the limits that a quota has.
    pub(super) fn whole(settings: &ModelQuota) -> Self {
        Self {
            tokens: settings.tokens_per_minute.map(NonZeroU64::get),
            requests: settings.requests_per_minute.map(NonZeroU64::get),
            streams: settings.streams.map(|limit| limit.get().into()),
        }
    }
}

/// The quota of a model in a region.
#[derive(Debug)]
pub(super) struct Model {
    /// Tells this quota from one that was removed and added again.
    pub(super) number: u64,
    pub(super) settings: ModelQuota,
    pub(super) shares: Shares,
    pub(super) queue: FairQueue,
    pub(super) safe_share: SafeShare,
    pub(super) input_ratio: InputRatio,
    /// When a call last had to wait or was refused, until there is room again.
    pub(super) saturated: Option<Instant>,
    tokens: Option<Bucket>,
    requests: Option<Bucket>,
    /// The calls that have a reservation.
    pub(super) running: u64,
    /// The tokens that they have reserved.
    pub(super) reserved: u64,
    throttles: Throttles,
    /// The tokens that ended calls have cost.
    pub(super) charged: Spending,
    /// The requests that were begun.
    pub(super) begun: Spending,
    pub(super) throttled: u64,
}

/// What Bedrock has throttled.
#[derive(Debug, Default)]
struct Throttles {
    last: Option<Instant>,
    /// Without a call between them that was served.
    in_a_row: u32,
    /// No call is sent before.
    until: Option<Instant>,
}

impl Model {
    pub(super) fn new(number: u64, settings: ModelQuota, now: Instant) -> Self {
        let mut model = Self {
            number,
            settings,
            shares: Shares::default(),
            queue: FairQueue::default(),
            safe_share: SafeShare::whole(now),
            input_ratio: InputRatio::default(),
            saturated: None,
            tokens: None,
            requests: None,
            running: 0,
            reserved: 0,
            throttles: Throttles::default(),
            charged: Spending::new(now),
            begun: Spending::new(now),
            throttled: 0,
        };
        model.adapt(now);
        model
    }

    /// Takes over other settings. What was taken stays taken.
    pub(super) fn follow(&mut self, settings: ModelQuota, now: Instant) {
        self.settings = settings;
        self.adapt(now);
    }

    /// Takes over another share.
    pub(super) fn granted(&mut self, shares: Shares, now: Instant) {
        self.shares = shares;
        self.adapt(now);
    }

    /// Bedrock has refused a call that was sent at `begun`, for lack of quota. What was thought to be there is not there.
    pub(super) fn throttled(&mut self, begun: Instant, retry_after: Option<Duration>, now: Instant) {
        self.throttled += 1;
        // Calls that were sent before a throttle was known say the same as it.
        let is_news = self.throttles.last.is_none_or(|last| begun > last);
        if is_news {
            let spent = self.spent_millionths(now);
            self.safe_share.throttled(spent, now);
            self.throttles.in_a_row = self.throttles.in_a_row.saturating_add(1);
            self.throttles.last = Some(now);
        }
        let doublings = self.throttles.in_a_row.saturating_sub(1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let asked = retry_after.unwrap_or_default().min(LONGEST_BLOCK);
        self.adapt(now);
        if is_news || !asked.is_zero() {
            let until = now + pause.max(asked);
            self.throttles.until = self.throttles.until.max(Some(until));
            for bucket in [&mut self.tokens, &mut self.requests].into_iter().flatten() {
                bucket.empty(until, now);
            }
        }
    }

    /// A call that was sent at `begun` was served.
    fn served(&mut self, begun: Instant) {
        if self.throttles.last.is_some_and(|last| begun > last) {
            self.throttles.in_a_row = 0;
        }
    }

    /// The part of what this server may spend of the quota that was spent or reserved within a minute.
    fn spent_millionths(&mut self, now: Instant) -> u64 {
        let part = |spent: u64, limit: Option<u64>, share: Option<u64>| {
            let limit = limit.map(|limit| share.unwrap_or(limit).clamp(1, limit));
            limit.map_or(0, |limit| u128::from(spent) * 1_000_000 / u128::from(limit))
        };
        let tokens = self.charged.last_minute(now).saturating_add(self.reserved);
        let requests = self.begun.last_minute(now);
        let (whole, share) = (Shares::whole(&self.settings), self.shares);
        let spent = part(tokens, whole.tokens, share.tokens).max(part(requests, whole.requests, share.requests));
        u64::try_from(spent).unwrap_or(u64::MAX)
    }

    /// Whether a call that reserves these tokens may begin now, if no other waits.
    pub(super) fn has_room(&mut self, tokens: u64, now: Instant) -> bool {
        self.adapt(now);
        let Self { tokens: of_tokens, requests, .. } = self;
        let is_open = self.throttles.until.is_none_or(|until| until <= now);
        is_open
            && self.running
                < self.settings.streams.map_or(u64::MAX, |streams| self.shares.streams.unwrap_or(streams.get().into()))
            && of_tokens.as_mut().is_none_or(|bucket| bucket.has(tokens, now))
            && requests.as_mut().is_none_or(|bucket| bucket.has(1, now))
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, tokens: u64, now: Instant) {
        self.running += 1;
        self.reserved = self.reserved.saturating_add(tokens);
        self.begun.add(1, now);
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens, now);
        }
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
    }

    /// Ends a call that was sent at `begun`, has reserved `tokens` and has cost `charged`.
    pub(super) fn end(&mut self, tokens: u64, charged: u64, begun: Instant, now: Instant) {
        if charged > 0 {
            self.served(begun);
        }
        self.running = self.running.saturating_sub(1);
        self.reserved = self.reserved.saturating_sub(tokens);
        self.charged.add(charged, now);
        let Some(bucket) = &mut self.tokens else { return };
        if charged > tokens {
            bucket.take(charged - tokens, now);
        } else {
            bucket.give_back(tokens - charged, now);
        }
    }

    /// Gives back the request of a call that was never sent.
    pub(super) fn unsend(&mut self, now: Instant) {
        self.begun.take_back(1, now);
        if let Some(bucket) = &mut self.requests {
            bucket.give_back(1, now);
        }
    }

    /// The time until a call that reserves these tokens may begin, if it is the next. `None` if that is not known: another call has to end, or
    /// this server has no share.
    pub(super) fn wait(&mut self, tokens: u64, now: Instant) -> Option<Duration> {
        self.adapt(now);
        let blocked = self.throttles.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if self
            .settings
            .streams
            .is_some_and(|streams| self.running >= self.shares.streams.unwrap_or(streams.get().into()))
        {
            return None;
        }
        let of_tokens = self.tokens.as_mut().map_or(Some(Duration::ZERO), |bucket| bucket.wait(tokens, now))?;
        let of_requests = self.requests.as_mut().map_or(Some(Duration::ZERO), |bucket| bucket.wait(1, now))?;
        Some(blocked.max(of_tokens).max(of_requests))
    }

    /// About the time until a call begins that reserves `own` tokens, with so many calls and tokens before it.
    pub(super) fn estimate(&mut self, (calls, tokens): (usize, u64), own: u64, now: Instant) -> Option<Duration> {
        let first = self.wait(own, now)?;
        let refilled = |units: u64, bucket: &Option<Bucket>| match bucket {
            Some(bucket) if bucket.rate() > 0 => u128::from(units) * 60_000_000_000 / u128::from(bucket.rate()),
            _ => 0,
        };
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        let before = refilled(tokens, &self.tokens).max(refilled(calls, &self.requests));
        Some(first + u64::try_from(before).map_or(LONGEST_ESTIMATE, Duration::from_nanos).min(LONGEST_ESTIMATE))
    }

    /// Whether a call of this size can never begin, because it is larger than the quota of a minute.
    pub(super) fn is_too_small_for(&self, tokens: u64) -> bool {
        self.settings.tokens_per_minute.is_some_and(|most| tokens > most.get())
    }

    /// Whether there is room again after a time without: no call has lacked it for a while, none waits, and half of what can be spent at
    /// once is there.
    pub(super) fn has_recovered(&mut self, now: Instant) -> bool {
        self.adapt(now);
        let is_over = self.saturated.is_some_and(|last| now.saturating_duration_since(last) >= RECOVERED);
        let half = |bucket: &mut Option<Bucket>| bucket.as_mut().is_none_or(|bucket| bucket.is_half_full(now));
        is_over
            && self.queue.len() == 0
            && half(&mut self.tokens)
            && half(&mut self.requests)
            && self.throttles.until.is_none_or(|until| until <= now)
    }

    /// What a call that comes now can have at once, of tokens and of requests.
    pub(super) fn free(&mut self, now: Instant) -> (Option<u64>, Option<u64>) {
        self.adapt(now);
        let level = |bucket: &mut Option<Bucket>| bucket.as_mut().map(|bucket| bucket.level(now));
        (level(&mut self.tokens), level(&mut self.requests))
    }

    /// Gives the buckets the rates that the settings, the share of this server and the safe share allow now.
    fn adapt(&mut self, now: Instant) {
        let Self { settings, shares, safe_share, .. } = self;
        let burst_percent = u64::from(settings.burst_percent);
        let rate = |limit: Option<NonZeroU64>, share: Option<u64>| {
            limit.map(|limit| safe_share.of(share.unwrap_or(limit.get()).min(limit.get()), now))
        };
        let tokens = rate(settings.tokens_per_minute, shares.tokens);
        let requests = rate(settings.requests_per_minute, shares.requests);
        for (bucket, rate) in [(&mut self.tokens, tokens), (&mut self.requests, requests)] {
            let Some(rate) = rate else {
                *bucket = None;
                continue;
            };
            // A share that is not zero can begin something.
            let burst = (u128::from(rate) * u128::from(burst_percent)).div_ceil(100);
            let burst = u64::try_from(burst).unwrap_or(u64::MAX);
            match bucket {
                Some(bucket) if (bucket.rate(), bucket.burst()) == (rate, burst) => {}
                Some(bucket) => bucket.change(rate, burst, now),
                None => *bucket = Some(Bucket::full(rate, burst, now)),
            }
        }
    }
}
