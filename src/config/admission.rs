//! The flags of admission control and of abandoned calls.

use clap::Args;

use super::problems::Problems;
use crate::{admission::LimitSettings, proto::AbandonmentMode, response::abandoned::AbandonmentSettings};

/// As typed.
#[derive(Clone, Debug, Args)]
pub struct LimitArgs {
    /// The most streams at once
    #[arg(long, env = "OUTCROP_MAX_STREAMS", default_value = "10000", value_name = "NUMBER")]
    pub max_streams: String,
    /// The most streams of one client at once
    #[arg(long, env = "OUTCROP_MAX_STREAMS_PER_CALLER", default_value = "1000", value_name = "NUMBER")]
    pub max_streams_per_caller: String,
    /// The most streams to one model or route at once [default: no limit]
    #[arg(long, env = "OUTCROP_MAX_STREAMS_PER_MODEL", value_name = "NUMBER")]
    pub max_streams_per_model: Option<String>,
    /// The most requests of one client in a minute to methods that call no model
    #[arg(long, env = "OUTCROP_OTHER_REQUESTS_PER_MINUTE", default_value = "1200", value_name = "NUMBER")]
    pub other_requests_per_minute: String,
    /// The most requests of one client in a minute to methods that call a model [default: no limit]
    #[arg(long, env = "OUTCROP_REQUESTS_PER_MINUTE", value_name = "NUMBER")]
    pub requests_per_minute: Option<String>,
    /// The most tokens of one caller in a minute; input and `max_tokens` are reserved, and settled by the usage [default: no limit]
    #[arg(long, env = "OUTCROP_TOKENS_PER_MINUTE", value_name = "NUMBER")]
    pub tokens_per_minute: Option<String>,
    /// The output tokens that are reserved for a request that sets no `max_tokens`
    #[arg(long, env = "OUTCROP_RESERVED_TOKENS", default_value = "4096", value_name = "NUMBER")]
    pub reserved_tokens: String,
    /// How long a call may wait for a concurrency limit; 0s refuses at once
    #[arg(long, env = "OUTCROP_QUEUE_TIME", default_value = "0s", value_name = "DURATION")]
    pub queue_time: String,
    /// How many calls may wait; one client may fill a quarter of the queue
    #[arg(long, env = "OUTCROP_QUEUE_LENGTH", default_value = "100", value_name = "NUMBER")]
    pub queue_length: String,
    /// What happens to the call to Bedrock when its caller leaves: `cancel` or `drain`
    #[arg(long, env = "OUTCROP_ABANDONMENT", default_value = "cancel", value_name = "MODE")]
    pub abandonment: String,
    /// How long an abandoned call may be drained
    #[arg(long, env = "OUTCROP_DRAIN_TIME", default_value = "5m", value_name = "DURATION")]
    pub drain_time: String,
    /// How many abandoned calls may be drained at once
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
                "--tokens-per-minute is {tokens}, which is less than --reserved-tokens ({reserved}): no request without max_tokens could ever be served"
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
