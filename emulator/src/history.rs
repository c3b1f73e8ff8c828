//! The requests that arrived, with what became of their answers. Tests assert on them, and can wait for them.

mod captured;

use std::{collections::VecDeque, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde_json::Value;

pub use self::captured::CapturedRequest;
pub(crate) use self::captured::{SESSION, region, text};
use crate::ledger::Ledger;

/// The most requests that are kept.
const MOST: usize = 1_000;

/// The most bytes of bodies that are kept. The newest request is kept whatever its length.
const MOST_BYTES: usize = 4 << 20;

/// What became of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// It was sent to its end.
    Completed,
    /// It ended with the fault in its script.
    Faulted,
    /// The client left before its end.
    Abandoned,
    /// It was an HTTP error.
    Refused,
}

impl Outcome {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
        }
    }
}

/// A request, and what became of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct AnsweredRequest {
    /// The request.
    pub request: CapturedRequest,
    /// The HTTP status of the answer. `None` before it.
    pub status: Option<u16>,
    /// What became of the answer.
    pub outcome: Outcome,
}

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct History {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their numbers. The JSON of the bodies is not kept.
    kept: VecDeque<AnsweredRequest>,
    /// The length of their bodies.
    bytes: usize,
    last: Option<CapturedRequest>,
    /// The number of requests so far.
    count: u64,
}

impl State {
    fn find(&mut self, number: u64) -> Option<&mut AnsweredRequest> {
        let place = self.kept.binary_search_by_key(&number, |one| one.request.number).ok()?;
        self.kept.get_mut(place)
    }
}

impl History {
    /// Keeps a request, and gives it its number.
    pub(crate) fn add(&self, request: &mut CapturedRequest) {
        let mut state = self.state.lock();
        state.count += 1;
        request.number = state.count;
        state.bytes += request.raw_body.len();
        // The JSON can be large, and is not copied in vain.
        let body = std::mem::take(&mut request.body);
        let kept = AnsweredRequest { request: request.clone(), status: None, outcome: Outcome::Running };
        request.body = body;
        state.last = Some(request.clone());
        state.kept.push_back(kept);
        while state.kept.len() > MOST || (state.bytes > MOST_BYTES && state.kept.len() > 1) {
            let oldest = state.kept.pop_front().map_or(0, |one| one.request.raw_body.len());
            state.bytes -= oldest;
        }
    }

    /// The number of the last request, also if it is not kept.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    pub(crate) fn last(&self) -> Option<CapturedRequest> {
        self.state.lock().last.clone()
    }

    /// Notes the HTTP status of an answer.
    pub(crate) fn answered(&self, number: u64, status: u16) {
        if let Some(one) = self.state.lock().find(number) {
            one.status = Some(status);
        }
    }

    fn ended(&self, number: u64, outcome: Outcome) {
        if let Some(one) = self.state.lock().find(number) {
            one.outcome = outcome;
        }
    }

    /// The requests that satisfy a condition, from the oldest to the newest.
    pub(crate) fn find(&self, mut wanted: impl FnMut(&AnsweredRequest) -> bool) -> Vec<AnsweredRequest> {
        let kept: Vec<_> = self.state.lock().kept.iter().cloned().collect();
        let parsed = kept.into_iter().map(|mut one| {
            one.request.body = serde_json::from_slice(&one.request.raw_body).unwrap_or_default();
            one
        });
        parsed.filter(|one| wanted(one)).collect()
    }

    /// Forgets the requests of a session, or all of them.
    pub(crate) fn clear(&self, session: Option<&str>) {
        let mut state = self.state.lock();
        let is_cleared = |request: &CapturedRequest| session.is_none_or(|session| request.session == session);
        state.kept.retain(|one| !is_cleared(&one.request));
        state.bytes = state.kept.iter().map(|one| one.request.raw_body.len()).sum();
        state.last = state.last.take().filter(|last| !is_cleared(last));
    }
}

/// A request whose answer has not ended. If it is dropped, the client has left.
#[derive(Debug)]
pub(crate) struct Open {
    ledger: Arc<Ledger>,
    number: u64,
    outcome: Outcome,
}

impl Open {
    pub(crate) fn new(ledger: Arc<Ledger>, number: u64) -> Self {
        Self { ledger, number, outcome: Outcome::Abandoned }
    }

    /// What the answer will have become when this is dropped. An error stays one.
    pub(crate) fn becomes(&mut self, outcome: Outcome) {
        if self.outcome != Outcome::Refused {
            self.outcome = outcome;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ledger.history.ended(self.number, self.outcome);
        // Those who wait for a request look again.
        self.ledger.count(|_| {});
    }
}

impl AnsweredRequest {
    pub(crate) fn json(&self) -> Value {
        let mut json = self.request.json();
        json["status"] = self.status.into();
        json["outcome"] = self.outcome.name().into();
        if self.request.body.is_null() && !self.request.raw_body.is_empty() {
            json["bodyBase64"] = BASE64_STANDARD.encode(&self.request.raw_body).into();
        }
        json
    }
}

#[cfg(test)]
mod tests;
