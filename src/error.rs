//! Failures of calls: the reason, the message, whether a retry can help, and the context of the call.
//!
//! All modules make errors with [`Error::new`]. Only this module turns them into a [`tonic::Status`].
//!
//! - `reason` the table of reasons with their codes and retry delays
//! - `status` the wire form, and how large it may be
//! - `config` the problems of a configuration, which are no failure of a call
//! - `bare` statuses that the gRPC library makes by itself
//! - `upstream` constructors for incomplete streams from Bedrock

mod bare;
mod config;
mod reason;
mod status;
mod upstream;

use std::time::Duration;

use crate::proto::Attempt;

pub(crate) use self::{
    bare::from_bare,
    upstream::{corrupt, truncated},
};
pub use self::{
    config::ConfigError,
    reason::{Reason, Row, TABLE},
};

/// Whether content was sent to the caller before the failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No content was sent, so the call can be retried.
    #[default]
    BeforeContent,
    /// Content was sent.
    AfterContent,
}

impl Phase {
    /// Its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BeforeContent => "before_content",
            Self::AfterContent => "after_content",
        }
    }
}

/// One rule that a request breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `messages[2].content[0].text`.
    pub field: String,
    /// What is wrong, with the value, and what to write.
    pub description: String,
}

/// The context of a call to Bedrock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallContext {
    /// The model of the last attempt.
    pub model_id: String,
    /// The AWS region of the last attempt.
    pub region: String,
    /// The AWS request id, if Bedrock has answered.
    pub request_id: String,
    /// All attempts, including this one.
    pub attempts: Vec<Attempt>,
}

/// A limit of this server that a call has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The subject of the limit, such as `caller:192.0.2.7`.
    pub subject: String,
    /// The limit.
    pub description: String,
}

/// A failure of a call.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.reason.name(), .0.message)]
pub struct Error(Box<Inner>);

/// Boxed, so that a `Result` with an error in it stays small on the hot path.
#[derive(Debug)]
struct Inner {
    reason: Reason,
    message: String,
    phase: Phase,
    /// Whether Bedrock had generated the answer, so that it is charged, although nothing of it was sent.
    generated: bool,
    /// The name of Bedrock's exception.
    exception: String,
    /// Further entries of the metadata of ErrorInfo, such as `original_status_code`.
    metadata: Vec<(&'static str, String)>,
    call: Option<CallContext>,
    /// The `Retry-After` of Bedrock, or the time until a rate limit allows the call. It replaces the delay of the reason.
    retry_after: Option<Duration>,
    /// The time after which the call can succeed, for a reason whose calls are not repeated automatically.
    resets_in: Option<Duration>,
    /// Whether a retry of the same call cannot succeed, although its reason allows retries.
    not_retryable: bool,
    violations: Vec<Violation>,
    quota: Option<Quota>,
    /// The text that is logged instead of the message.
    logged_as: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with a message for people: what was wrong, with which value, and what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            phase: Phase::default(),
            generated: false,
            exception: String::new(),
            metadata: Vec::new(),
            call: None,
            retry_after: None,
            resets_in: None,
            not_retryable: false,
            violations: Vec::new(),
            quota: None,
            logged_as: None,
            cause: None,
        }))
    }

    /// Adds the cause, which is logged and not sent.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Replaces the message in the log, for a message that can quote a prompt.
    #[must_use]
    pub fn logged_as(mut self, words: impl Into<String>) -> Self {
        self.0.logged_as = Some(words.into());
        self
    }

    /// Sets the phase.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    /// Sets whether Bedrock had generated the answer, so that it is charged, although nothing of it was sent.
    #[must_use]
    pub(crate) fn with_generated(mut self, generated: bool) -> Self {
        self.0.generated = generated;
        self
    }

    /// Sets the context of the call.
    #[must_use]
    pub fn in_call(mut self, call: CallContext) -> Self {
        self.0.call = Some(call);
        self
    }

    /// Adds the attempts of the whole call. The model, the region and the request id do not change if they are set.
    #[must_use]
    pub fn after(mut self, call: CallContext) -> Self {
        self.0.call = Some(match self.0.call.take() {
            Some(own) => CallContext { attempts: call.attempts, ..own },
            None => call,
        });
        self
    }

    /// Sets the name of Bedrock's exception.
    #[must_use]
    pub fn with_exception(mut self, exception: impl Into<String>) -> Self {
        self.0.exception = exception.into();
        self
    }

    /// Adds an entry to the metadata of ErrorInfo.
    #[must_use]
    pub fn with_metadata(mut self, name: &'static str, value: String) -> Self {
        self.0.metadata.push((name, value));
        self
    }

    /// Sets the delay after which the call can be retried.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Option<Duration>) -> Self {
        self.0.retry_after = delay;
        self
    }

    /// Sets the time after which the call can succeed, for a reason whose calls are not repeated automatically. It is in RetryInfo alone: a gRPC
    /// client that was told to retry in hours would wait for hours before it returns the status.
    #[must_use]
    pub fn with_reset_in(mut self, delay: Duration) -> Self {
        self.0.resets_in = Some(delay);
        self
    }

    /// Forbids retries of the call, although its reason allows them.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.0.not_retryable = true;
        self
    }

    /// Sets the limit that was reached.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.0.quota = Some(quota);
        self
    }

    /// Sets the violations of the request.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.0.violations = violations;
        self
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What was wrong, with which value, and what to do.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The name of Bedrock's exception. Empty if there is none.
    pub(crate) fn exception(&self) -> &str {
        &self.0.exception
    }

    /// An entry of the metadata of ErrorInfo that was added.
    pub(crate) fn metadata(&self, name: &str) -> Option<&str> {
        self.0.metadata.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The delay that was set, if any.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The context of the call to Bedrock.
    pub(crate) fn call(&self) -> CallContext {
        self.0.call.clone().unwrap_or_default()
    }

    /// Whether content was sent to the caller.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Whether Bedrock had generated at least a part of an answer.
    pub(crate) fn is_generated(&self) -> bool {
        self.0.generated || self.0.phase == Phase::AfterContent
    }

    /// The violations of the request, if any.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// The error as one log line of bounded length.
    pub(crate) fn for_log(&self) -> String {
        let Inner { reason, message, logged_as, cause, .. } = &*self.0;
        let words = match (logged_as, cause) {
            (Some(words), _) => words.clone(),
            (None, Some(cause)) => format!("{message} ({cause})"),
            (None, None) => message.clone(),
        };
        format!("{}: {}", reason.name(), status::for_log(&words))
    }
}
