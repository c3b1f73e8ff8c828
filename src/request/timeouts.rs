//! How long the parts of a call may take: the four timeouts, as configured and as a request asks for them.
//!
//! [`crate::bedrock`] runs the first, [`crate::failover`] the second, [`crate::response::reader`] the third and
//! [`crate::response::stream`] the last.

use std::time::Duration;

use tokio::time::Instant;

/// When the caller's own deadline passes, as its `grpc-timeout` header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For an attempt to get a connection to Bedrock.
    pub connect: Duration,
    /// For an attempt to bring its first content.
    pub first_content: Duration,
    /// Between one piece of the answer and the next.
    pub idle: Duration,
    /// For everything.
    pub total: Duration,
}

/// What a request gets that asks for nothing, and the most that one may ask for.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutSettings {
    /// Without a wish.
    pub default: Timeouts,
    /// At the most.
    pub max: Timeouts,
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

impl Default for TimeoutSettings {
    /// Room for models that think: they may be silent for minutes.
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
        }
    }
}
