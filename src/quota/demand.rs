//! What a call asks of the quotas: how many tokens, for whom, and where its prompt cache is.

use crate::{
    admission::{
        client::{Client, ClientId},
        estimate::Estimate,
    },
    event::Used,
    failover::routes::Target,
    quota::{
        input_ratio::InputRatio,
        settings::{ModelQuota, QueueShare},
    },
};

/// What a call asks of the quotas of its targets.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    pub(crate) client: ClientId,
    /// The place of the caller in the queue.
    pub(crate) queue_share: QueueShare,
    /// Whether the request or its caller says that the answer is not urgent.
    pub(crate) is_batch: bool,
    /// What the request needs.
    pub(crate) estimate: Estimate,
    /// The target that has the prompt cache.
    pub(crate) preferred: Option<Target>,
}

impl Demand {
    /// What a request of this client asks for.
    pub(crate) fn of(client: &Client, estimate: Estimate, is_batch: bool) -> Self {
        let queue_share = client.queue_share;
        let is_batch = is_batch || queue_share.is_batch;
        Self { client: client.id.clone(), queue_share, is_batch, estimate, preferred: None }
    }

    /// The tokens that Bedrock reserves for it: the input, with what is read from caches, and the maximum of the output.
    pub(super) fn reserves(&self, quota: &ModelQuota, ratio: InputRatio) -> u64 {
        ratio.of(self.estimate.input.into()) + u64::from(self.estimate.output_or(quota.max_tokens))
    }
}

/// The tokens of a quota that Bedrock charges for an answer: reads from the prompt cache are free, and output burns at a rate of its own.
/// Source: "How tokens are counted in Amazon Bedrock" in the user guide of Bedrock.
pub(super) fn charge(used: Used, output_burndown: u32) -> u64 {
    let Used { input, cache_read, output, .. } = used;
    u64::from(input.saturating_sub(cache_read)) + u64::from(output) * u64::from(output_burndown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_of_the_prompt_cache_are_free_and_output_burns_at_its_rate() {
        let used = Used { input: 1_150, cache_read: 100, cache_write: 50, output: 200 };
        assert_eq!((charge(used, 1), charge(used, 5)), (1_250, 2_050));
    }
}
