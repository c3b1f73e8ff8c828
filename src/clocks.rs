//! How long the parts of a call may take: the four clocks, as configured and as a request asks for them.
//!
//! Set by [`crate::config`], checked against a request by [`crate::request`]. [`crate::bedrock`] runs the first, [`crate::dispatch`]
//! the second, [`crate::reading`] the third and [`crate::stream`] the last.

use std::time::Duration;

/// The limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
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
pub struct ClockSettings {
    /// Without a wish.
    pub default: Clocks,
    /// At the most.
    pub max: Clocks,
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

impl Default for ClockSettings {
    /// Room for models that think: they may be silent for minutes.
    fn default() -> Self {
        Self {
            default: Clocks {
                connect: Duration::from_secs(5),
                first_content: minutes(2),
                idle: minutes(5),
                total: minutes(60),
            },
            max: Clocks { connect: minutes(1), first_content: minutes(15), idle: minutes(15), total: minutes(6 * 60) },
        }
    }
}
