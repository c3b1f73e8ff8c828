//! What a request reserves of a quota, and what its answer reports and is charged.

use serde_json::Value;

use super::settings::Quota;
use crate::{
    frame, limits, native, prompt, reply,
    script::{Script, Step},
    usage::TokenUsage,
};

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// The input tokens of the request, as counted in its body.
    input: u64,
    /// Its own maximum of output tokens.
    max_tokens: Option<u64>,
    /// What its answer will report.
    reported: Option<TokenUsage>,
    /// Whether a fault ends the answer before its report.
    is_cut: bool,
}

impl Need {
    /// `most` is the maximum of output tokens, if it is not that of the request.
    pub(crate) fn new(body: &Value, script: &Script, most: Option<u64>) -> Self {
        Self {
            input: prompt::input_tokens(body).into(),
            max_tokens: most.or_else(|| limits::max_tokens(body)),
            reported: reported(script),
            is_cut: script.fault.is_some_and(|fault| fault.kind.ends_answer()),
        }
    }

    /// What is reserved at the start: all input tokens, and the maximum of output tokens. The input is what the answer will report, because
    /// that is the count of the model.
    pub(super) fn reserved(&self, quota: &Quota) -> u64 {
        let input = self
            .reported
            .map_or(self.input, |usage| usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write));
        input.saturating_add(self.max_tokens.unwrap_or(quota.max_tokens))
    }

    /// What an answer is charged that was sent to its end. `None` if it reports nothing.
    pub(super) fn charge(&self, quota: &Quota) -> Option<u64> {
        let charge = |usage: TokenUsage| {
            let output = usage.output.saturating_mul(quota.burndown);
            usage.input.saturating_add(usage.cache_write).saturating_add(output)
        };
        self.reported.filter(|_| !self.is_cut).map(charge)
    }
}

/// The usage that the answer of this script reports last, before an exception if it has one.
fn reported(script: &Script) -> Option<TokenUsage> {
    let mut last = None;
    read(&script.steps, &mut last);
    // The only report of embeddings.
    last.or_else(|| {
        let input = script.headers.get("x-amzn-bedrock-input-token-count")?.parse().ok()?;
        Some(TokenUsage { input, ..TokenUsage::default() })
    })
}

/// Reads the usage of these steps, and returns whether the stream goes on after them. A repetition is read once.
fn read(steps: &[Step], last: &mut Option<TokenUsage>) -> bool {
    steps.iter().all(|step| match step {
        Step::Event { event_type, payload } => {
            if event_type == "metadata" {
                *last = TokenUsage::of_json(&payload["usage"]).or(*last);
            }
            true
        }
        Step::Chunk(inner) => {
            let (events, _) = native::events(vec![("chunk".to_owned(), inner.clone())]);
            let metadata = events.iter().rfind(|(event_type, _)| event_type == "metadata");
            *last = metadata.and_then(|(_, payload)| TokenUsage::of_json(&payload["usage"])).or(*last);
            true
        }
        Step::Reply(text) => {
            // Its metadata has no input tokens.
            *last = Some(TokenUsage { output: reply::words(text).len() as u64, ..TokenUsage::default() });
            true
        }
        Step::Bytes(bytes) => {
            let frames: Vec<_> = frame::split(bytes.clone().into()).into_iter().filter_map(frame::decode).collect();
            if frames.is_empty() {
                let whole: Option<Value> = serde_json::from_slice(bytes).ok();
                *last = whole.and_then(|whole| TokenUsage::of_json(&whole["usage"])).or(*last);
            }
            read(&frames, last)
        }
        Step::Repeat { times, steps } => *times == 0 || read(steps, last),
        Step::Exception { .. } | Step::Error { .. } => false,
        Step::Stamped(_) | Step::WaitMs(_) => true,
    })
}
