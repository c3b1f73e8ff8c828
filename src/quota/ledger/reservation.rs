//! What an attempt holds of the quota of its target, from before it is sent until its answer ends.

use std::mem;

use tokio::time::Instant;

use super::Ledger;
use crate::{
    error::{Error, Phase, Reason},
    event::Used,
    failover::routes::Target,
    quota::demand::charge,
};

/// A reservation. However the attempt ends, it is settled once: by the usage that Bedrock has reported, or, when that is not known, by what
/// Bedrock has reserved. A reservation whose attempt was never sent is given back.
#[derive(Debug)]
pub(crate) struct Reservation {
    ledger: Ledger,
    reserved: Reserved,
    state: State,
}

/// What is reserved.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    pub(super) target: Target,
    /// The number of the quota.
    pub(super) number: u64,
    /// The tokens that are reserved.
    pub(super) tokens: u64,
    /// The estimate of the input.
    pub(super) estimated_input: u64,
    pub(super) output_burndown: u32,
    /// When it began.
    pub(super) begun: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bedrock knows nothing of it.
    NotSent,
    /// Bedrock has reserved the tokens.
    Sent,
    Settled,
}

impl Reservation {
    pub(super) fn new(ledger: Ledger, reserved: Reserved) -> Self {
        Self { ledger, reserved, state: State::NotSent }
    }

    /// The reserved tokens.
    pub(crate) fn tokens(&self) -> u64 {
        self.reserved.tokens
    }

    /// The attempt is sent now.
    pub(crate) fn sent(&mut self) {
        self.state = State::Sent;
    }

    /// Settles by the usage of the answer. Returns the tokens that it has cost.
    pub(crate) fn settle(&mut self, used: Used) -> u64 {
        let charged = charge(used, self.reserved.output_burndown);
        if mem::replace(&mut self.state, State::Settled) != State::Settled {
            self.ledger.settled(&self.reserved, used, charged);
        }
        charged
    }

    /// Settles an attempt that has failed without a usage, before or after its first content.
    pub(crate) fn failed(mut self, error: &Error, phase: Phase) {
        if mem::replace(&mut self.state, State::Settled) == State::Settled {
            return;
        }
        let charged = match phase {
            Phase::AfterContent => self.reserved.tokens,
            Phase::BeforeContent if error.reason().may_have_used_input() => self.reserved.estimated_input,
            // What Bedrock has not served it has not charged.
            Phase::BeforeContent => 0,
        };
        if error.reason() == Reason::BedrockThrottled {
            self.ledger.throttled(&self.reserved, charged, error.retry_after());
        } else {
            self.ledger.ended(&self.reserved, charged);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        match mem::replace(&mut self.state, State::Settled) {
            State::NotSent => self.ledger.unsent(&self.reserved),
            State::Sent => self.ledger.ended(&self.reserved, self.reserved.tokens),
            State::Settled => {}
        }
    }
}
