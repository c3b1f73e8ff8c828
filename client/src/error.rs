//! What a call can fail with, its google.rpc details decoded.
//!
//! Made by [`crate::Client`] and [`crate::Chunks`].

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why there is no answer, or not the whole of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("cannot connect to {endpoint}: {}. Is the server running there?", causes(source))]
    Connect {
        /// The address asked for.
        endpoint: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The server, or something between, ended the call with a status.
    #[error(transparent)]
    Call(#[from] Box<CallError>),
    /// The server broke a promise of the contract.
    #[error("the server broke the contract: {0}")]
    BrokenContract(String),
}

/// A status, decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if reason.is_empty() { format!("{code:?}") } else { reason.clone() })]
pub struct CallError {
    /// The gRPC code.
    pub code: Code,
    /// What happened, for people.
    pub message: String,
    /// What happened, for programs: the `reason` of the ErrorInfo. Empty if something other than the server answered.
    pub reason: String,
    /// The `metadata` of the ErrorInfo: `phase`, `exception`, `model_id`, `region`, `attempts`.
    pub metadata: HashMap<String, String>,
    /// After which time the same call may succeed, if it may.
    pub retry_delay: Option<Duration>,
    /// The AWS request id.
    pub request_id: Option<String>,
    /// Everything wrong with the request.
    pub violations: Vec<FieldViolation>,
    /// The limit of the server that was met.
    pub quota: Option<Quota>,
}

/// A limit of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose limit it is, such as `caller:192.0.2.7`.
    pub subject: String,
    /// What the limit is.
    pub description: String,
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field.
    pub field: String,
    /// What is wrong.
    pub description: String,
}

impl CallError {
    /// Whether content had arrived before the call failed.
    pub fn is_after_content(&self) -> bool {
        self.metadata.get("phase").is_some_and(|phase| phase == "after_content")
    }
}

impl From<&Status> for CallError {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) =
            details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let quota = details.quota_failure().and_then(|failure| failure.violations.first());
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason,
            metadata,
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            request_id: details.request_info().map(|info| info.request_id.clone()),
            violations: violations
                .into_iter()
                .map(|one| FieldViolation { field: one.field, description: one.description })
                .collect(),
            quota: quota.map(|one| Quota { subject: one.subject.clone(), description: one.description.clone() }),
        }
    }
}

impl From<CallError> for ClientError {
    fn from(error: CallError) -> Self {
        Self::Call(Box::new(error))
    }
}

/// A transport error says only "transport error"; what happened is in its causes.
fn causes(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
