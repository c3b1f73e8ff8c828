//! The flags of admission control and of abandoned calls.

use clap::Args;

use super::problems::Problems;
use crate::{admission::LimitSettings, proto::AbandonmentMode, response::abandoned::AbandonmentSettings};

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The maximum number of running streams
    #[arg(long, env = "OUTCROP_MAX_STREAMS", default_value = "10000", value_name = "NUMBER")]
    pub max_streams: String,
    /// The maximum number of running streams of one client
    #[arg(long, env = "OUTCROP_MAX_STREAMS_PER_CALLER", default_value = "1000", value_name = "NUMBER")]
    pub max_streams_per_caller: String,
    /// The maximum number of running streams of one model or route [default: no limit]
    #[arg(long, env = "OUTCROP_MAX_STREAMS_PER_MODEL", value_name = "NUMBER")]
    pub max_streams_per_model: Option<String>,
    /// The maximum number of requests per minute of one client to methods that call no model
    #[arg(long, env = "OUTCROP_OTHER_REQUESTS_PER_MINUTE", default_value = "1200", value_name = "NUMBER")]
    pub other_requests_per_minute: String,
    /// The maximum number of requests per minute of one client to methods that call a model [default: no limit]
    #[arg(long, env = "OUTCROP_REQUESTS_PER_MINUTE", value_name = "NUMBER")]
    pub requests_per_minute: Option<String>,
    /// The maximum number of tokens per minute of one client. Input and `max_tokens` are reserved, then replaced by the usage
    /// [default: no limit]
    #[arg(long, env = "OUTCROP_TOKENS_PER_MINUTE", value_name = "NUMBER")]
    pub tokens_per_minute: Option<String>,
    /// The output tokens that are reserved for a request without `max_tokens`
    #[arg(long, env = "OUTCROP_RESERVED_TOKENS", default_value = "4096", value_name = "NUMBER")]
    pub reserved_tokens: String,
    /// The time for which a call waits for a permit of a concurrency limit; 0s refuses at once
    #[arg(long, env = "OUTCROP_QUEUE_TIME", default_value = "0s", value_name = "DURATION")]
    pub queue_time: String,
    /// The maximum number of waiting calls; one client can have a quarter of them
    #[arg(long, env = "OUTCROP_QUEUE_LENGTH", default_value = "100", value_name = "NUMBER")]
    pub queue_length: String,
    /// What happens to the call to Bedrock if the caller cancels or disconnects: `cancel` or `drain`
    #[arg(long, env = "OUTCROP_ABANDONMENT", default_value = "cancel", value_name = "MODE")]
    pub abandonment: String,
    /// The time for the drain of an abandoned call
    #[arg(long, env = "OUTCROP_DRAIN_TIME", default_value = "5m", value_name = "DURATION")]
    pub drain_time: String,
    /// The maximum number of drains; further abandoned calls are cancelled
    #[arg(long, env = "OUTCROP_MAX_DRAINS", default_value = "100", value_name = "NUMBER")]
    pub max_drains: String,
}

impl LimitArgs {
    pub(super) fn limits(&self, problems: &mut Problems) -> LimitSettings {
        let reserved_tokens = problems.at_least_one("--reserved-tokens", &self.reserved_tokens);
        let settings = LimitSettings {
            streams: problems.at_least_one("--max-streams", &self.max_streams),
            streams_per_caller: problems
                .some_at_least_one("--max-streams-per-caller", Some(&self.max_streams_per_caller)),
            streams_per_model: problems
                .some_at_least_one("--max-streams-per-model", self.max_streams_per_model.as_deref()),
            other_requests_per_minute: problems
                .rate("--other-requests-per-minute", Some(&self.other_requests_per_minute)),
            requests_per_minute: problems.rate("--requests-per-minute", self.requests_per_minute.as_deref()),
            tokens_per_minute: problems.rate("--tokens-per-minute", self.tokens_per_minute.as_deref()),
            reserved_tokens: u32::try_from(reserved_tokens).unwrap_or(u32::MAX),
            queue_time: problems.duration("--queue-time", &self.queue_time, true),
            queue_length: problems.at_least_one("--queue-length", &self.queue_length),
        };
        if let Some(tokens) = settings.tokens_per_minute.filter(|tokens| tokens.get() < settings.reserved_tokens) {
            let reserved = settings.reserved_tokens;
            problems.add(format!(
                "--tokens-per-minute is {tokens}, which is less than --reserved-tokens ({reserved}): no request without max_tokens can be served. Raise one or lower the other"
            ));
        }
        settings
    }

    pub(super) fn abandonment(&self, problems: &mut Problems) -> AbandonmentSettings {
        let mode = match self.abandonment.trim() {
            "cancel" => AbandonmentMode::Cancel,
            "drain" => AbandonmentMode::Drain,
            other => {
                problems.add(format!("--abandonment is {other:?}; it must be cancel or drain"));
                AbandonmentMode::Unspecified
            }
        };
        AbandonmentSettings {
            mode,
            drain_time: problems.duration("--drain-time", &self.drain_time, false),
            drains: problems.at_least_one("--max-drains", &self.max_drains),
        }
    }
}
