//! Failures of the program: their exit codes, their lines for people and their JSON for scripts.

use std::io::{self, ErrorKind};

use serde_json::{Value, json};
use tonic::Code;

use super::prompt::PromptError;
use crate::{CallError, ClientError};

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The answer is complete, or standard output was closed.
    Complete = 0,
    /// The call failed before content, and neither a retry nor another request is known to help.
    Failed = 1,
    /// The arguments are invalid.
    Usage = 2,
    /// There is no server at the endpoint.
    Unreachable = 3,
    /// The server refused the request: `INVALID_ARGUMENT`, `OUT_OF_RANGE`, `NOT_FOUND`, or it is too large.
    InvalidRequest = 4,
    /// The caller is unknown, or may not do this: `UNAUTHENTICATED`, `PERMISSION_DENIED`.
    NotAllowed = 5,
    /// The call failed before content, and can be retried after the delay of RetryInfo.
    Retryable = 6,
    /// The call failed after content. What was printed is not the complete answer.
    Incomplete = 7,
    /// Ctrl-C: the call was cancelled.
    Cancelled = 130,
}

/// The reason why the program does not print a complete answer.
pub(super) enum Failure {
    Client(ClientError),
    Prompt(PromptError),
    File(String),
    #[cfg(feature = "terminal")]
    Input(io::Error),
    Output(io::Error),
    Interrupted,
    TimedOut,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Failure {
    /// Whether the reader of standard output has closed it.
    pub(super) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }

    /// The status of the call, if there is one.
    pub(super) fn call(&self) -> Option<&CallError> {
        match self {
            Self::Client(ClientError::Call(call)) => Some(call),
            _ => None,
        }
    }

    /// The exit code. `has_content` says whether a part of the answer had arrived.
    pub(super) fn exit(&self, has_content: bool) -> Exit {
        match self {
            Self::Interrupted => Exit::Cancelled,
            Self::Prompt(_) | Self::File(_) => Exit::Usage,
            #[cfg(feature = "terminal")]
            Self::Input(_) => Exit::Usage,
            _ if has_content || self.call().is_some_and(CallError::is_after_content) => Exit::Incomplete,
            Self::Output(_) | Self::TimedOut => Exit::Failed,
            Self::Client(error) => exit_of(error),
        }
    }

    /// The lines for people: message, retry delay, request id.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(call) = self.call() else { return vec![self.message()] };
        let mut lines = vec![call.to_string()];
        if let Some(delay) = call.retry_delay {
            lines.push(format!("retry after {}", humantime::format_duration(delay)));
        }
        if let Some(id) = &call.request_id {
            lines.push(format!("AWS request id: {id}"));
        }
        lines
    }

    fn message(&self) -> String {
        match self {
            Self::Client(ClientError::Call(call)) => call.message.clone(),
            Self::Client(error) => error.to_string(),
            Self::Prompt(error) => error.to_string(),
            Self::File(problem) => problem.clone(),
            #[cfg(feature = "terminal")]
            Self::Input(error) => format!("cannot read the prompt: {error}"),
            Self::Output(error) => format!("cannot write the answer: {error}"),
            Self::Interrupted => "cancelled".to_owned(),
            Self::TimedOut => "the answer was not complete within --timeout. Allow more time".to_owned(),
        }
    }

    /// The code of gRPC. The client gives one to its own failures of a call, as other gRPC clients do. Invalid arguments have none.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Client(ClientError::Call(call)) => Some(call.code),
            Self::Client(ClientError::Connect { .. } | ClientError::Protocol { .. }) => Some(Code::Unavailable),
            Self::Client(ClientError::BrokenContract(_)) => Some(Code::Internal),
            Self::Interrupted => Some(Code::Cancelled),
            Self::TimedOut => Some(Code::DeadlineExceeded),
            #[cfg(feature = "terminal")]
            Self::Input(_) => None,
            Self::Client(_) | Self::Prompt(_) | Self::File(_) | Self::Output(_) => None,
        }
    }

    /// What kind of failure it is: the reason, or the code of gRPC if there is no reason.
    #[cfg(feature = "terminal")]
    pub(super) fn reason(&self) -> String {
        let reason = self.call().map(|call| call.reason.clone()).filter(|reason| !reason.is_empty());
        reason.or_else(|| self.code().map(name)).unwrap_or_else(|| self.message())
    }

    /// The object for scripts, `{"error": …}`. Every key is always there; a value that is not known is `null` or empty.
    pub(super) fn json(&self, has_content: bool) -> Value {
        let call = self.call();
        let exit = self.exit(has_content);
        let is_after_content = has_content || exit == Exit::Incomplete;
        let violations = call.map(|call| call.violations.as_slice()).unwrap_or_default().iter();
        json!({"error": {
            "exitCode": exit as u8,
            "code": self.code().map(name),
            "reason": call.map_or("", |call| &call.reason),
            "phase": if is_after_content { "after_content" } else { "before_content" },
            "message": self.message(),
            "retryDelaySeconds": call.and_then(|call| call.retry_delay).map(|delay| delay.as_secs_f64()),
            "violations": violations
                .map(|one| json!({"field": one.field, "description": one.description}))
                .collect::<Vec<_>>(),
            "quota": call
                .and_then(|call| call.quota.as_ref())
                .map(|quota| json!({"subject": quota.subject, "description": quota.description})),
            "requestId": call.and_then(|call| call.request_id.as_deref()),
            "metadata": call.map_or_else(|| json!({}), |call| json!(call.metadata)),
        }})
    }
}

fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Endpoint { .. }
        | ClientError::Authorities(_)
        | ClientError::Identity(_)
        | ClientError::ApiKey(_) => Exit::Usage,
        ClientError::Connect { .. } | ClientError::Protocol { .. } => Exit::Unreachable,
        ClientError::BrokenContract(_) => Exit::Failed,
        ClientError::Call(call) if call.retry_delay.is_some() => Exit::Retryable,
        ClientError::Call(call) if call.reason == "MESSAGE_TOO_LARGE" => Exit::InvalidRequest,
        ClientError::Call(call) => match call.code {
            Code::InvalidArgument | Code::OutOfRange | Code::NotFound => Exit::InvalidRequest,
            Code::Unauthenticated | Code::PermissionDenied => Exit::NotAllowed,
            _ => Exit::Failed,
        },
    }
}

/// The name of a code in the form of the gRPC specification, such as `INVALID_ARGUMENT`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::*;

    fn call(code: Code, change: impl FnOnce(&mut CallError)) -> Failure {
        let status = Status::from_error(Box::new(io::Error::other("an error of the test")));
        let mut error = CallError { code, is_disconnected: false, ..CallError::from(&status) };
        change(&mut error);
        Failure::Client(error.into())
    }

    #[test]
    fn each_class_of_failure_has_a_code_of_its_own() {
        let retry = |error: &mut CallError| error.retry_delay = Some(Duration::from_secs(1));
        let after = |error: &mut CallError| {
            error.retry_delay = Some(Duration::from_secs(1));
            error.metadata.insert("phase".to_owned(), "after_content".to_owned());
        };
        for (failure, exit) in [
            (call(Code::Internal, |_| ()), Exit::Failed),
            (call(Code::ResourceExhausted, |_| ()), Exit::Failed),
            (call(Code::ResourceExhausted, retry), Exit::Retryable),
            (call(Code::Unavailable, retry), Exit::Retryable),
            (call(Code::Unavailable, after), Exit::Incomplete),
            (call(Code::InvalidArgument, |_| ()), Exit::InvalidRequest),
            (call(Code::NotFound, |_| ()), Exit::InvalidRequest),
            (call(Code::ResourceExhausted, |error| error.reason = "MESSAGE_TOO_LARGE".into()), Exit::InvalidRequest),
            (call(Code::Unauthenticated, |_| ()), Exit::NotAllowed),
            (call(Code::PermissionDenied, |_| ()), Exit::NotAllowed),
            (Failure::TimedOut, Exit::Failed),
            (Failure::Interrupted, Exit::Cancelled),
        ] {
            assert_eq!(failure.exit(false), exit, "{:?}", failure.lines());
            let with_content = if exit == Exit::Cancelled { exit } else { Exit::Incomplete };
            assert_eq!(failure.exit(true), with_content, "{:?}", failure.lines());
        }
    }

    #[test]
    fn codes_have_the_names_of_grpc() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Unavailable), "UNAVAILABLE");
        assert_eq!(name(Code::DataLoss), "DATA_LOSS");
    }
}
