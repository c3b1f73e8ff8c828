//! The counts of a quota.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// What was used of a quota since it was set. A request that was admitted is running, or in exactly one of `settled`, `kept` and `released`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUsage {
    /// Requests that were admitted.
    pub requests: u64,
    /// Requests that were refused because of the quota.
    pub throttled: u64,
    /// Those of them for which there were not enough tokens.
    pub throttled_by_tokens: u64,
    /// Those of them for which there were not enough requests.
    pub throttled_by_requests: u64,
    /// Those of them for which there were too many streams.
    pub throttled_by_streams: u64,
    /// Requests whose answers have not ended.
    pub running: u64,
    /// The largest number of them.
    pub highest_running: u64,
    /// Requests whose answers reported their usage at the end.
    pub settled: u64,
    /// Requests whose answers were cut or abandoned. They are charged their reservation.
    pub kept: u64,
    /// Requests that were answered with an HTTP error. They are charged nothing.
    pub released: u64,
    /// Tokens that running requests have reserved.
    pub tokens_reserved: u64,
    /// Tokens that were charged for requests that have ended, `tokens_kept` included.
    pub tokens_charged: u64,
    /// Tokens that were charged for reservations of answers that were cut or abandoned.
    pub tokens_kept: u64,
    /// Tokens of the minute that are in use now: not yet refilled in a bucket, or the sum of the last minute.
    pub level: u64,
    /// The highest level after an admission. Never over the quota.
    pub highest_admitted_level: u64,
    /// The highest level after a settlement. It is over the quota if answers were charged more than they had reserved.
    pub highest_settled_level: u64,
    /// The time since the quota was set. In JSON `elapsed_ms`.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
