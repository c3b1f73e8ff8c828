//! The four timeouts of a call, and the caller's deadline.
//!
//! `connect` runs in [`crate::bedrock`], `first_content` in [`crate::failover`], `idle` in [`crate::response::reader`] and `total` in
//! [`crate::response::call`].

use std::time::Duration;

use tokio::time::Instant;

/// When the caller's own deadline passes, as its `grpc-timeout` header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The timeouts of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long an attempt may wait for a connection to Bedrock.
    pub connect: Duration,
    /// How long an attempt may wait for its first content.
    pub first_content: Duration,
    /// How long Bedrock may send nothing after the first content.
    pub idle: Duration,
    /// How long the whole call may take, including retries and backoff.
    pub total: Duration,
}

/// The timeouts and heartbeats of a request that sets none, and the longest timeouts that a request may set.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutSettings {
    /// The defaults.
    pub default: Timeouts,
    /// The maxima.
    pub max: Timeouts,
    /// The time between heartbeats of a request that says nothing about them; `None` sends none.
    pub heartbeat: Option<Duration>,
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

impl Default for TimeoutSettings {
    /// Long enough for models that think for minutes without sending anything.
    fn default() -> Self {
        Self {
            default: Timeouts {
                connect: Duration::from_secs(5),
                first_content: minutes(2),
                idle: minutes(5),
                total: minutes(60),
            },
            max: Timeouts {
                connect: minutes(1),
                first_content: minutes(15),
                idle: minutes(15),
                total: minutes(6 * 60),
            },
            heartbeat: None,
        }
    }
}
