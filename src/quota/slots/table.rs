//! What a server asks the table of shares, and what the table answers.

use std::{fmt, sync::Arc, time::Duration};

/// How long a share is held without a renewal. The clock of the table decides.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// How long a new table only confirms the shares that servers say they hold, and grants no growth.
pub(super) const CONFIRMING: Duration = Duration::from_secs(5);

/// How long the table remembers a server after its lease, so that a delayed request of it is recognised.
pub(super) const REMEMBERED: Duration = Duration::from_mins(10);

/// A server is granted at least an equal part of the capacity divided by this, even if others want everything.
pub(super) const LEAST: u64 = 20;

/// What orders servers of equal demand: products of numbers below this prime are exact in a double.
pub(super) const PRIME: u64 = 67_108_859;
pub(super) const TURN: u64 = 41_475_561;

/// The largest number in a request. Redis calculates with doubles, in which sums of these are exact.
pub(super) const LARGEST: u64 = 1 << 50;

/// The id of a server: random, of 52 bits, which are exact in a double.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServerId(pub(super) u64);

impl ServerId {
    pub(super) const BITS: u32 = 52;

    pub(super) fn random() -> Self {
        Self(fastrand::u64(..1 << Self::BITS))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The renewal of one share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) resource: Arc<str>,
    /// The number of the renewal: a server sends each number once, and only greater ones after it.
    pub(super) sequence: u64,
    pub(super) capacity: u64,
    /// What the server may use, beyond `spent`, until it has the answer. It has confirmed a smaller share by saying so.
    pub(super) held: u64,
    pub(super) in_use: u64,
    pub(super) wanted: u64,
    /// What the server has spent since it runs. A sum rather than a difference, so that it counts once however often it is sent.
    pub(super) spent: u64,
    /// The part of `spent` that the table of this `born` has confirmed.
    pub(super) confirmed: u64,
    /// The table that has answered last; 0 if none has.
    pub(super) born: u64,
    /// How long the table keeps what was spent.
    pub(super) lasts: Option<Duration>,
    /// The share is given back.
    pub(super) leaving: bool,
}

/// What the table answers to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reply {
    /// What the server may use, beyond the `spent` of its request.
    pub(super) held: u64,
    /// The number of servers with a lease.
    pub(super) servers: u32,
    /// What all servers have spent.
    pub(super) spent: u64,
    /// When the table was made, in its own milliseconds. An emptied table has another.
    pub(super) born: u64,
    /// When it answered, in its own milliseconds.
    pub(super) at: u64,
}

/// The answer about one resource; `None` if its key holds something that is not a table.
pub(super) type Answer = Option<Reply>;

/// A circuit breaker that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ejection {
    /// The target, as routes write it.
    pub(crate) target: Arc<str>,
    /// How long no attempt goes to it.
    pub(crate) remaining: Duration,
}

/// A table cannot be reached, or did not answer. The requests may have been processed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TableError(pub(super) String);

/// The table that servers share. Each answer is atomic.
#[tonic::async_trait]
pub(super) trait Table: Send + Sync {
    /// Renews shares, and answers in the order of the requests.
    async fn renew(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError>;

    /// Tells other servers about open circuit breakers, and returns those of all servers; `None` if the key holds
    /// something else.
    async fn eject(&self, ejections: &[Ejection]) -> Result<Option<Vec<Ejection>>, TableError>;
}

/// A time in whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
