//! The errors of the client, with the google.rpc details of statuses decoded.

use std::{collections::HashMap, error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::connect::{refused_certificate, root};

/// The reason why there is no complete answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is invalid.
    #[error("the endpoint {endpoint:?} {message}")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it, and what to write.
        message: String,
    },
    /// The certificates of the authorities to trust cannot be read.
    #[error("no certificate of an authority can be read: {0}. It must be PEM")]
    Authorities(String),
    /// The certificate of the client or its key cannot be used.
    #[error("the client certificate cannot be used: {0}")]
    Identity(String),
    /// The API key cannot be sent.
    #[error("the API key cannot be sent: {0}")]
    ApiKey(&'static str),
    /// The connection failed.
    #[error("cannot connect to {endpoint}: {message}")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// The cause, and what to do.
        message: String,
        /// The error of the transport.
        source: tonic::transport::Error,
    },
    /// The server at the endpoint uses another protocol.
    #[error("cannot call {endpoint}: {message}")]
    Protocol {
        /// The endpoint.
        endpoint: String,
        /// The protocol, and what to do.
        message: &'static str,
    },
    /// The call ended with a status other than OK, from the server or a proxy.
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
    /// The message for people.
    pub message: String,
    /// The `reason` of the ErrorInfo, for programs. Empty if a proxy answered.
    pub reason: String,
    /// The `metadata` of the ErrorInfo: `phase`, `exception`, `model_id`, `region`, `attempts`.
    pub metadata: HashMap<String, String>,
    /// The delay after which the call can be retried. `None` if a retry cannot help.
    pub retry_delay: Option<Duration>,
    /// The AWS request id.
    pub request_id: Option<String>,
    /// The violations of the request.
    pub violations: Vec<FieldViolation>,
    /// The limit of the server that was reached.
    pub quota: Option<Quota>,
    /// Whether the connection or the HTTP/2 stream broke. Then there was no status, and the code is that of gRPC for this case.
    pub is_disconnected: bool,
}

/// A limit of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The subject of the limit, such as `caller:192.0.2.7`.
    pub subject: String,
    /// The limit.
    pub description: String,
}

/// A violation of a request.
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

/// The cause of a broken connection or stream. A status from the server has no source.
fn broken(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    let innermost = root(cause);
    loop {
        // The client enforces the deadline of the call too.
        if cause.is::<tonic::TimeoutExpired>() {
            return None;
        }
        let Some(next) = cause.source() else { break };
        cause = next;
    }
    Some(refused_certificate(innermost).unwrap_or_else(|| format!("the connection to the server broke: {innermost}")))
}
