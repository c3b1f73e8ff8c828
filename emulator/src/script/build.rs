//! Makes scripts and steps in Rust.

use serde_json::{Value, json};

use super::{At, Delivery, Fault, FaultKind, Pace, Refusal, Script, Step};
use crate::{reply, usage::TokenUsage};

impl Script {
    /// A complete answer with this text, without pauses.
    pub fn reply(text: impl Into<String>) -> Self {
        Self::of([Step::Reply(text.into())])
    }

    /// A complete answer with this text that reports this usage, without pauses.
    pub fn reply_with(text: &str, usage: TokenUsage) -> Self {
        let mut steps = reply::steps(text, 0);
        steps.pop();
        steps.push(Step::usage(usage));
        Self::of(steps)
    }

    /// These steps, without pauses.
    pub fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// An HTTP error in Bedrock's form.
    pub fn refuse(status: u16, exception: &str, message: &str) -> Self {
        let refusal =
            Refusal { status, exception: Some(exception.to_owned()), body: None, message: message.to_owned() };
        Self { refuse: Some(refusal), ..Self::default() }
    }

    /// Sets the fault.
    #[must_use]
    pub fn fault(mut self, kind: FaultKind, at: At) -> Self {
        self.fault = Some(Fault { kind, at });
        self
    }

    /// Sets the pace, in milliseconds.
    #[must_use]
    pub fn pace(mut self, first_ms: u64, gap_ms: u64) -> Self {
        self.pace = Pace { first_ms, gap_ms, ..Pace::default() };
        self
    }

    /// Sets how the bytes are split into transport chunks.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Step {
    /// An event frame.
    pub fn event(event_type: &str, payload: Value) -> Self {
        Self::Event { event_type: event_type.to_owned(), payload }
    }

    /// `messageStart` by the assistant.
    pub fn message_start() -> Self {
        Self::event("messageStart", json!({"role": "assistant"}))
    }

    /// A `contentBlockDelta` of any kind.
    pub fn delta(index: u32, delta: impl Into<Value>) -> Self {
        Self::event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta.into()}))
    }

    /// A text delta of block 0.
    pub fn text(text: &str) -> Self {
        Self::delta(0, json!({"text": text}))
    }

    /// `contentBlockStop`.
    pub fn block_stop(index: u32) -> Self {
        Self::event("contentBlockStop", json!({"contentBlockIndex": index}))
    }

    /// `messageStop`.
    pub fn message_stop(reason: &str) -> Self {
        Self::event("messageStop", json!({"stopReason": reason}))
    }

    /// `metadata` with this usage.
    pub fn metadata(input: u32, output: u32) -> Self {
        let usage = json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output});
        Self::event("metadata", json!({"usage": usage, "metrics": {"latencyMs": 42}}))
    }

    /// `metadata` with this usage, that of the prompt cache included.
    pub fn usage(usage: TokenUsage) -> Self {
        Self::event("metadata", json!({"usage": usage.json(), "metrics": {"latencyMs": 42}}))
    }

    /// An exception frame.
    pub fn exception(exception_type: &str, message: &str) -> Self {
        Self::Exception { exception_type: exception_type.to_owned(), message: message.to_owned() }
    }
}
