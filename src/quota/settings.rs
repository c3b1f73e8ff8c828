//! The quotas of Bedrock, the prices of models, and the waiting for quota, as they are configured.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use crate::event::Used;

/// The maximum of output tokens of a model whose quota names none: that of Claude Sonnet 4, which is among the highest. Too high a number
/// only reserves too much until the answer ends.
pub const MAX_TOKENS: u32 = 64_000;

/// The highest quota of a minute.
pub const MAX_QUOTA: u64 = 1_000_000_000_000;

/// The highest burndown rate that can be configured.
pub const MAX_BURNDOWN: u32 = 100;

/// The share of a minute's quota that can be spent at once, in percent.
pub const BURST: u32 = 25;

/// Everything about quotas that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaSettings {
    /// The quotas of models, at most one for each model and region.
    pub quotas: Vec<ModelQuota>,
    /// What tokens cost, by model id or inference profile id.
    pub prices: BTreeMap<String, Price>,
    /// The time for which a call waits for quota. Zero means that calls do not wait.
    pub queue_time: Duration,
    /// The maximum number of calls that wait for quota.
    pub queue_length: usize,
    /// The time for which a call waits for the target that has its prompt cache, before it goes to another one. Zero: it does not wait, and
    /// targets are tried in the order of the route.
    pub cache_affinity: Duration,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            quotas: Vec::new(),
            prices: BTreeMap::new(),
            queue_time: Duration::from_secs(10),
            queue_length: 1_000,
            cache_affinity: Duration::from_secs(2),
        }
    }
}

/// The quota that an AWS account has for a model or an inference profile in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelQuota {
    /// The model id, inference profile id or ARN, as the targets of routes name it.
    pub model_id: String,
    /// The AWS region; `None` is the server's own.
    pub region: Option<String>,
    /// Tokens a minute.
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Requests a minute.
    pub requests_per_minute: Option<NonZeroU64>,
    /// The code of the tokens a minute in AWS Service Quotas, whose value replaces the number.
    pub tokens_per_minute_code: Option<String>,
    /// The code of the requests a minute there.
    pub requests_per_minute_code: Option<String>,
    /// Running streams.
    pub streams: Option<NonZeroU32>,
    /// How many tokens of the quota an output token costs: 1 to [`MAX_BURNDOWN`].
    pub output_burndown: u32,
    /// What Bedrock reserves for a request without `max_tokens`: the maximum of the model.
    pub max_tokens: u32,
    /// The share of a minute's quota that can be spent at once, 1 to 100 percent.
    pub burst_percent: u32,
}

impl ModelQuota {
    /// Without limits, with the burndown rate of the model.
    pub fn of(model_id: impl Into<String>) -> Self {
        let model_id = model_id.into();
        Self {
            output_burndown: burndown_of(&model_id),
            model_id,
            region: None,
            tokens_per_minute: None,
            requests_per_minute: None,
            tokens_per_minute_code: None,
            requests_per_minute_code: None,
            streams: None,
            max_tokens: MAX_TOKENS,
            burst_percent: BURST,
        }
    }
}

/// The burndown rate of a model by its id: 5 for Claude 3.7 and later models of Anthropic, otherwise 1. Source: "How tokens are counted in
/// Amazon Bedrock" in the user guide of Bedrock. A quota can name another.
pub fn burndown_of(model_id: &str) -> u32 {
    const ONE: [&str; 5] = ["claude-instant", "claude-v2", "claude-3-haiku", "claude-3-sonnet", "claude-3-opus"];
    let Some((_, model)) = model_id.split_once("anthropic.") else { return 1 };
    if ONE.iter().any(|name| model.starts_with(name)) || model.starts_with("claude-3-5-") { 1 } else { 5 }
}

/// What tokens of a model cost, in millionths of a currency unit per million tokens. The currency is the operator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write: u64,
}

impl Price {
    /// What these tokens cost, in millionths of a currency unit, rounded up.
    pub(crate) fn of(self, used: Used) -> u64 {
        let Used { input, cache_read, cache_write, output } = used;
        let uncached = input.saturating_sub(cache_read).saturating_sub(cache_write);
        let counts = [
            (uncached, self.input),
            (cache_read, self.cache_read),
            (cache_write, self.cache_write),
            (output, self.output),
        ];
        let sum: u128 = counts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// How much a caller may use in a day and in a month of UTC. `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Input and output tokens a day, with those of prompt caches.
    pub tokens_per_day: Option<NonZeroU64>,
    /// The same a month.
    pub tokens_per_month: Option<NonZeroU64>,
    /// Millionths of a currency unit a day.
    pub cost_per_day: Option<NonZeroU64>,
    /// The same a month.
    pub cost_per_month: Option<NonZeroU64>,
}

/// The place of a caller among those that wait for quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueShare {
    /// Its share of the quota while others wait: twice the weight gets twice the tokens. 1 to 1,000.
    pub weight: u32,
    /// Whether all its calls are batch calls. Otherwise a request decides.
    pub is_batch: bool,
}

impl Default for QueueShare {
    fn default() -> Self {
        Self { weight: 100, is_batch: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_costs_each_kind_of_its_tokens_at_its_price_rounded_up() {
        // 3, 15, 0.3 and 3.75 a million.
        let price = Price { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 };
        let used = Used { input: 1_300, cache_read: 200, cache_write: 100, output: 10 };
        assert_eq!(price.of(used), 3_000 + 60 + 375 + 150);
        assert_eq!(price.of(Used { cache_read: 1, input: 1, ..Used::default() }), 1, "rounded up");
    }

    #[test]
    fn claude_since_3_7_burns_five_tokens_for_each_of_output() {
        for (model_id, burndown) in [
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", 5),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", 5),
            ("global.anthropic.claude-opus-4-5-20251101-v1:0", 5),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", 1),
            ("anthropic.claude-3-haiku-20240307-v1:0", 1),
            ("anthropic.claude-v2:1", 1),
            ("us.amazon.nova-pro-v1:0", 1),
            ("cohere.command-text-v14", 1),
        ] {
            assert_eq!(burndown_of(model_id), burndown, "{model_id}");
        }
    }
}
