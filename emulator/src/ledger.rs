//! Counts of requests, streams and connections, and the last request.
//!
//! [`crate::Emulator`] and `GET /_emulator/…` return them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Counts since the emulator started. A stream that has ended is in exactly one of `completed`, `faulted` and `abandoned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that reached an operation.
    pub requests: u64,
    /// Requests answered with an HTTP error.
    pub refused: u64,
    /// Streams that have begun.
    pub opened: u64,
    /// Streams sent to their end.
    pub completed: u64,
    /// Streams ended by the fault in their script.
    pub faulted: u64,
    /// Streams that the client cancelled before their end.
    pub abandoned: u64,
    /// Bytes of streams handed to HTTP.
    pub bytes_sent: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open.
    pub open_connections: u64,
}

impl Stats {
    /// Streams that have begun and not ended.
    pub fn running(&self) -> u64 {
        self.opened - self.completed - self.faulted - self.abandoned
    }
}

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapturedRequest {
    /// The Bedrock operation, such as `ConverseStream`.
    pub operation: &'static str,
    /// The model id, decoded from the path.
    pub model_id: String,
    /// The scheme of the authorization without its secret, such as `AWS4-HMAC-SHA256` or `Bearer`. Empty if there was none.
    pub authorization: String,
    /// The AWS region for which the request was signed. Empty if it was not signed.
    pub region: String,
    /// Bedrock's headers, `x-amzn-bedrock-…`, and those of traces: `traceparent`, `tracestate` and `baggage`.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub raw_body: Bytes,
    /// The body as JSON. Null if it is not JSON.
    pub body: Value,
}

/// The counts and the last request.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stats: watch::Sender<Stats>,
    last: Mutex<Option<CapturedRequest>>,
}

impl Ledger {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    pub(crate) fn capture(&self, request: CapturedRequest) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    pub(crate) fn last_request(&self) -> Option<CapturedRequest> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn stats_json(&self) -> Value {
        let stats = self.stats();
        json!({
            "requests": stats.requests, "refused": stats.refused, "opened": stats.opened, "completed": stats.completed,
            "faulted": stats.faulted, "abandoned": stats.abandoned, "running": stats.running(),
            "bytesSent": stats.bytes_sent, "connections": stats.connections,
            "openConnections": stats.open_connections,
        })
    }

    pub(crate) fn last_request_json(&self) -> Value {
        self.last_request().map_or(Value::Null, |request| {
            json!({
                "operation": request.operation, "modelId": request.model_id, "authorization": request.authorization,
                "region": request.region,
                "headers": request.headers, "body": request.body,
            })
        })
    }
}
