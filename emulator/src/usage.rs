//! The tokens that an answer reports.

use serde_json::{Value, json};

/// The tokens that an answer reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Input tokens, without those of the prompt cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens that were read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens that were written to the prompt cache.
    pub cache_write: u64,
}

impl TokenUsage {
    /// As the `usage` of Converse has it.
    pub(crate) fn json(&self) -> Value {
        let Self { input, output, cache_read, cache_write } = self;
        let mut usage =
            json!({"inputTokens": input, "outputTokens": output, "totalTokens": input.saturating_add(*output)});
        for (name, count) in [("cacheReadInputTokens", cache_read), ("cacheWriteInputTokens", cache_write)] {
            if *count > 0 {
                usage[name] = (*count).into();
            }
        }
        usage
    }

    /// From the `usage` of Converse.
    pub(crate) fn of_json(usage: &Value) -> Option<Self> {
        let count = |name: &str| usage[name].as_u64().unwrap_or_default();
        usage.is_object().then(|| Self {
            input: count("inputTokens"),
            output: count("outputTokens"),
            cache_read: count("cacheReadInputTokens"),
            cache_write: count("cacheWriteInputTokens"),
        })
    }
}
