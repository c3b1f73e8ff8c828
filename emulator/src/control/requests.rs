//! `GET /_emulator/requests`: what arrived, what became of it, and the wait for it.
//!
//! The query selects requests by `session`, `operation`, `model` and `outcome`. With `wait` the answer comes when there are so many, or with
//! the status 408 after `timeout_ms`.

use std::time::Duration;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{bad, done, session};
use crate::{
    answer::json_body,
    history::{AnsweredRequest, Outcome},
    ledger::Ledger,
    routes::Shared,
};

/// How long a request waits that does not say how long.
const WAIT: Duration = Duration::from_secs(10);

/// The longest wait, in milliseconds.
const LONGEST_WAIT_MS: u64 = 600_000;

/// Which requests are wanted.
#[derive(Debug, Default)]
struct Wanted {
    session: Option<String>,
    operation: Option<String>,
    model: Option<String>,
    outcome: Option<String>,
    /// The least number of requests.
    wait: usize,
    timeout: Option<Duration>,
}

impl Wanted {
    /// Those of a query. An error is the message.
    fn of(query: &str, headers: &HeaderMap) -> Result<Self, String> {
        let mut wanted = Self { session: session(headers).map(str::to_owned), ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.parse::<u64>().map_err(|_| format!("{name} is {value:?}, which is not a number."));
            match &*name {
                "session" => wanted.session = Some(value.into_owned()),
                "operation" => wanted.operation = Some(value.into_owned()),
                "model" => wanted.model = Some(value.into_owned()),
                "outcome" => wanted.outcome = Some(outcome(&value)?.name().to_owned()),
                "wait" => wanted.wait = usize::try_from(number()?).unwrap_or(usize::MAX),
                "timeout_ms" => wanted.timeout = Some(Duration::from_millis(number()?.min(LONGEST_WAIT_MS))),
                _ => {
                    return Err(format!(
                        "{name:?} does not select requests. These do: session, operation, model, outcome, wait, timeout_ms."
                    ));
                }
            }
        }
        Ok(wanted)
    }

    fn selects(&self, one: &AnsweredRequest) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let AnsweredRequest { request, outcome, .. } = one;
        is(&self.session, &request.session)
            && is(&self.operation, request.operation)
            && is(&self.model, &request.model_id)
            && is(&self.outcome, outcome.name())
    }

    fn found(&self, ledger: &Ledger) -> Vec<AnsweredRequest> {
        ledger.history.find(|one| self.selects(one))
    }
}

/// The outcome of this name.
fn outcome(name: &str) -> Result<Outcome, String> {
    let all = [Outcome::Running, Outcome::Completed, Outcome::Faulted, Outcome::Abandoned, Outcome::Refused];
    all.into_iter()
        .find(|outcome| outcome.name() == name)
        .ok_or_else(|| format!("outcome is {name:?}. The outcomes are: {}.", all.map(Outcome::name).join(", ")))
}

fn json_of(found: &[AnsweredRequest]) -> Value {
    json!({"requests": found.iter().map(AnsweredRequest::json).collect::<Vec<_>>()})
}

pub(super) async fn list(State(shared): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let wanted = match Wanted::of(&query.unwrap_or_default(), &headers) {
        Ok(wanted) => wanted,
        Err(message) => return bad(&message),
    };
    let until = shared.ledger.wait_for(wanted.wait, |one| wanted.selects(one));
    match timeout(wanted.timeout.unwrap_or(WAIT), until).await {
        Ok(found) => json_body(&json_of(&found)),
        Err(_) => {
            let mut response = json_body(&json_of(&wanted.found(&shared.ledger)));
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response
        }
    }
}

pub(super) async fn last(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let last = match session(&headers) {
        None => shared.ledger.history.last(),
        Some(session) => shared.ledger.history.find(|one| one.request.session == session).pop().map(|one| one.request),
    };
    json_body(&last.map_or(Value::Null, |request| request.json()))
}

pub(super) async fn clear(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    shared.ledger.history.clear(session(&headers));
    done()
}
