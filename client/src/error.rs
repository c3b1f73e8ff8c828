//! What a call can fail with, its google.rpc details decoded.
//!
//! Made by [`crate::Client`] and [`crate::Chunks`].

use std::{collections::HashMap, error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::connect::root;

/// Why there is no answer, or not the whole of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint cannot be used.
    #[error("the endpoint {endpoint:?} {message}")]
    Endpoint {
        /// The endpoint given.
        endpoint: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// The certificates of the authorities to trust cannot be read.
    #[error("no certificate of an authority can be read: {0}. It must be PEM")]
    Authorities(String),
    /// There is no connection.
    #[error("cannot connect to {endpoint}: {message}")]
    Connect {
        /// The endpoint given.
        endpoint: String,
        /// Why not, and what may help.
        message: String,
        /// The error of the transport.
        source: tonic::transport::Error,
    },
    /// The server at the endpoint speaks something else.
    #[error("cannot call {endpoint}: {message}")]
    Protocol {
        /// The endpoint given.
        endpoint: String,
        /// What it speaks, and what may help.
        message: &'static str,
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
#[error("{}{message}", self.title())]
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
    /// Whether the connection or the HTTP/2 stream broke. Then no status came, and the code is the one that gRPC gives such an end.
    pub is_disconnected: bool,
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

    fn title(&self) -> String {
        match self.reason.as_str() {
            "" if self.is_disconnected => String::new(),
            "" => format!("{:?}: ", self.code),
            reason => format!("{reason}: "),
        }
    }
}

impl From<&Status> for CallError {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) =
            details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let quota = details.quota_failure().and_then(|failure| failure.violations.first());
        let broken = broken(status);
        Self {
            code: status.code(),
            is_disconnected: broken.is_some(),
            message: broken.unwrap_or_else(|| status.message().to_owned()),
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

/// How the connection or the stream broke, if no status came. A status that the server sent has no source.
fn broken(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    let innermost = root(cause);
    loop {
        // The deadline of the call, which is also kept on this side.
        if cause.is::<tonic::TimeoutExpired>() {
            return None;
        }
        let Some(next) = cause.source() else { break };
        cause = next;
    }
    Some(format!("the connection to the server broke: {innermost}"))
}
