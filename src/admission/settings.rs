//! The limits as they are configured.

use std::{num::NonZeroU32, time::Duration};

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

/// The limits of one generation of the configuration. A running call can have those of an older one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) settings: LimitSettings,
    /// A later one has a higher number.
    pub(crate) generation: u64,
}
