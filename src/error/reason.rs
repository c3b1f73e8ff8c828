//! The table of the error contract: each reason with its gRPC code, its retry delay, and what it means.
//!
//! `docs/errors.md` has the same table; a test compares the two.

use std::time::Duration;

use tonic::Code;

/// Why a call failed: the `reason` of the google.rpc.ErrorInfo in every status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says what each means")]
pub enum Reason {
    InvalidRequest,
    MalformedRequest,
    CardinalityViolation,
    MessageTooLarge,
    BodyTimeout,
    UnknownMethod,
    OriginNotAllowed,
    CredentialsMissing,
    CredentialsInvalid,
    CredentialsExpired,
    CredentialsRevoked,
    AuthenticationThrottled,
    IdentityProvider,
    PermissionDenied,
    AuditLog,
    BedrockValidation,
    BedrockAccessDenied,
    UpstreamCredentials,
    BedrockModelNotFound,
    BedrockThrottled,
    BedrockUnavailable,
    BedrockModelNotReady,
    BedrockInternal,
    BedrockUnknown,
    UpstreamUnreachable,
    ConnectTimeout,
    ModelError,
    ModelTimeout,
    FirstContentTimeout,
    IdleTimeout,
    TotalTimeout,
    CallerDeadline,
    CallerCancelled,
    UnreadTimeout,
    UpstreamTruncated,
    UpstreamCorrupt,
    LocalLimit,
    QuotaExhausted,
    BudgetExhausted,
    NoConversations,
    ConversationNotFound,
    ConversationBusy,
    ConversationChanged,
    ConversationTurnStored,
    ConversationLeaseLost,
    ConversationStore,
    ConversationOutcomeUnknown,
    Draining,
    Internal,
    Transport,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The reason.
    pub reason: Reason,
    /// Its name on the wire.
    pub name: &'static str,
    /// The gRPC code.
    pub code: Code,
    /// When to try again, in milliseconds, if the same call may succeed later.
    pub retry_ms: Option<u64>,
    /// What it means.
    pub meaning: &'static str,
}

const fn row(reason: Reason, name: &'static str, code: Code, retry_ms: Option<u64>, meaning: &'static str) -> Row {
    Row { reason, name, code, retry_ms, meaning }
}

/// The error contract, in the order of [`Reason`].
#[rustfmt::skip]
pub const TABLE: [Row; 50] = [
    row(Reason::InvalidRequest, "INVALID_REQUEST", Code::InvalidArgument, None, "The request is invalid; BadRequest lists every violation"),
    row(Reason::MalformedRequest, "MALFORMED_REQUEST", Code::InvalidArgument, None, "The bytes of the request cannot be decoded as its message"),
    row(Reason::CardinalityViolation, "CARDINALITY_VIOLATION", Code::Unimplemented, None, "The method takes exactly one message, and the call has none or several"),
    row(Reason::MessageTooLarge, "MESSAGE_TOO_LARGE", Code::ResourceExhausted, None, "The request is larger than --max-request-bytes"),
    row(Reason::BodyTimeout, "BODY_TIMEOUT", Code::DeadlineExceeded, None, "The message of the request was not received within the body timeout"),
    row(Reason::UnknownMethod, "UNKNOWN_METHOD", Code::Unimplemented, None, "The server has no such method"),
    row(Reason::OriginNotAllowed, "ORIGIN_NOT_ALLOWED", Code::PermissionDenied, None, "A web page of another origin made the call, or used a host name that the server does not have"),
    row(Reason::CredentialsMissing, "CREDENTIALS_MISSING", Code::Unauthenticated, None, "The call has no credentials, and this server serves only known callers"),
    row(Reason::CredentialsInvalid, "CREDENTIALS_INVALID", Code::Unauthenticated, None, "The credentials of the call are not valid at this server"),
    row(Reason::CredentialsExpired, "CREDENTIALS_EXPIRED", Code::Unauthenticated, None, "The API key, the token or the certificate of the call has expired"),
    row(Reason::CredentialsRevoked, "CREDENTIALS_REVOKED", Code::Unauthenticated, None, "The operator has revoked the credentials; running streams end too"),
    row(Reason::AuthenticationThrottled, "AUTHENTICATION_THROTTLED", Code::ResourceExhausted, Some(1_000), "Too many calls from this address had invalid credentials"),
    row(Reason::IdentityProvider, "IDENTITY_PROVIDER", Code::Unavailable, Some(1_000), "The keys of the token's issuer cannot be fetched now"),
    row(Reason::PermissionDenied, "PERMISSION_DENIED", Code::PermissionDenied, None, "The caller may not use the method, the model, the region, the S3 object or the native body"),
    row(Reason::AuditLog, "AUDIT_LOG", Code::Unavailable, Some(1_000), "The audit log cannot be written, and the server serves no call without its line"),
    row(Reason::BedrockValidation, "BEDROCK_VALIDATION", Code::InvalidArgument, None, "Bedrock refused the request: ValidationException"),
    row(Reason::BedrockAccessDenied, "BEDROCK_ACCESS_DENIED", Code::PermissionDenied, None, "The account may not use the model: AccessDeniedException"),
    row(Reason::UpstreamCredentials, "UPSTREAM_CREDENTIALS", Code::FailedPrecondition, None, "The server's AWS credentials are missing, wrong or expired; its operator must act"),
    row(Reason::BedrockModelNotFound, "BEDROCK_MODEL_NOT_FOUND", Code::NotFound, None, "Bedrock has no such model in the region: ResourceNotFoundException"),
    row(Reason::BedrockThrottled, "BEDROCK_THROTTLED", Code::ResourceExhausted, Some(1_000), "Bedrock's quota is used up: ThrottlingException, ServiceQuotaExceededException"),
    row(Reason::BedrockUnavailable, "BEDROCK_UNAVAILABLE", Code::Unavailable, Some(1_000), "Bedrock is temporarily unavailable: ServiceUnavailableException"),
    row(Reason::BedrockModelNotReady, "BEDROCK_MODEL_NOT_READY", Code::Unavailable, Some(5_000), "The model is being loaded: ModelNotReadyException"),
    row(Reason::BedrockInternal, "BEDROCK_INTERNAL", Code::Unavailable, Some(1_000), "Bedrock failed: InternalServerException"),
    row(Reason::BedrockUnknown, "BEDROCK_UNKNOWN", Code::Unknown, None, "Bedrock failed with an exception or a status that this server does not know"),
    row(Reason::UpstreamUnreachable, "UPSTREAM_UNREACHABLE", Code::Unavailable, Some(500), "Bedrock could not be reached"),
    row(Reason::ConnectTimeout, "CONNECT_TIMEOUT", Code::Unavailable, Some(500), "There was no connection to Bedrock within the connect timeout"),
    row(Reason::ModelError, "MODEL_ERROR", Code::Unavailable, Some(500), "The model failed: ModelErrorException, modelStreamErrorException"),
    row(Reason::ModelTimeout, "MODEL_TIMEOUT", Code::DeadlineExceeded, Some(1_000), "The model took too long: ModelTimeoutException"),
    row(Reason::FirstContentTimeout, "FIRST_CONTENT_TIMEOUT", Code::DeadlineExceeded, Some(1_000), "Bedrock sent no content within the first-content timeout"),
    row(Reason::IdleTimeout, "IDLE_TIMEOUT", Code::DeadlineExceeded, Some(1_000), "Bedrock sent nothing in the middle of the answer for longer than the idle timeout"),
    row(Reason::TotalTimeout, "TOTAL_TIMEOUT", Code::DeadlineExceeded, None, "The call took longer than the total timeout"),
    row(Reason::CallerDeadline, "CALLER_DEADLINE", Code::DeadlineExceeded, None, "The caller's own deadline passed"),
    row(Reason::CallerCancelled, "CALLER_CANCELLED", Code::Cancelled, None, "The caller cancelled"),
    row(Reason::UnreadTimeout, "UNREAD_TIMEOUT", Code::DeadlineExceeded, None, "The caller did not read for longer than the unread timeout"),
    row(Reason::UpstreamTruncated, "UPSTREAM_TRUNCATED", Code::Unavailable, Some(500), "The stream from Bedrock ended before the message was complete"),
    row(Reason::UpstreamCorrupt, "UPSTREAM_CORRUPT", Code::DataLoss, Some(500), "The bytes from Bedrock are damaged"),
    row(Reason::LocalLimit, "LOCAL_LIMIT", Code::ResourceExhausted, Some(1_000), "A limit of this server is reached; QuotaFailure says which"),
    row(Reason::QuotaExhausted, "QUOTA_EXHAUSTED", Code::ResourceExhausted, Some(1_000), "The quota of the model has no room for the request, which was not sent to Bedrock"),
    row(Reason::BudgetExhausted, "BUDGET_EXHAUSTED", Code::ResourceExhausted, None, "The budget of the caller for the day or the month has no room for the request"),
    row(Reason::NoConversations, "NO_CONVERSATIONS", Code::Unimplemented, None, "The server stores no conversations"),
    row(Reason::ConversationNotFound, "CONVERSATION_NOT_FOUND", Code::NotFound, None, "The caller has no such conversation, or it has been deleted"),
    row(Reason::ConversationBusy, "CONVERSATION_BUSY", Code::Aborted, Some(1_000), "Another turn of the conversation is running; this one is not stored"),
    row(Reason::ConversationChanged, "CONVERSATION_CHANGED", Code::Aborted, None, "The conversation has another revision than the caller has seen"),
    row(Reason::ConversationTurnStored, "CONVERSATION_TURN_STORED", Code::AlreadyExists, None, "A turn with this turn_id is stored already; no model was called"),
    row(Reason::ConversationLeaseLost, "CONVERSATION_LEASE_LOST", Code::Aborted, Some(1_000), "The server lost the lease of the conversation; the turn is not stored"),
    row(Reason::ConversationStore, "CONVERSATION_STORE", Code::Unavailable, Some(1_000), "The store of conversations failed; the turn is not stored"),
    row(Reason::ConversationOutcomeUnknown, "CONVERSATION_OUTCOME_UNKNOWN", Code::Unknown, None, "The store did not confirm the turn; it may be stored"),
    row(Reason::Draining, "DRAINING", Code::Unavailable, Some(1_000), "The server is shutting down; retry at another server"),
    row(Reason::Internal, "INTERNAL", Code::Internal, None, "A defect of this server"),
    row(Reason::Transport, "TRANSPORT", Code::Unknown, None, "The gRPC layer refused the call; the message says why"),
];

impl Reason {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The reason of this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.reason)
    }

    /// The gRPC code.
    pub fn code(self) -> Code {
        self.row().code
    }

    /// Whether another attempt, at the same or at another target, may succeed.
    pub(crate) fn allows_another_attempt(self) -> bool {
        matches!(
            self,
            Self::BedrockThrottled
                | Self::BedrockUnavailable
                | Self::BedrockModelNotReady
                | Self::BedrockInternal
                | Self::UpstreamUnreachable
                | Self::ConnectTimeout
                | Self::ModelError
                | Self::ModelTimeout
                | Self::FirstContentTimeout
                | Self::UpstreamTruncated
                | Self::UpstreamCorrupt
        )
    }

    /// Whether clients that nothing is known of can cause it as often as they like.
    pub(crate) fn is_of_any_client(self) -> bool {
        matches!(self, Self::CredentialsMissing | Self::AuthenticationThrottled)
    }

    /// Whether Bedrock may have processed the input of a call that ended so before its content.
    pub(crate) fn may_have_used_input(self) -> bool {
        matches!(
            self,
            Self::BedrockInternal
                | Self::BedrockUnknown
                | Self::ModelError
                | Self::ModelTimeout
                | Self::FirstContentTimeout
                | Self::IdleTimeout
                | Self::TotalTimeout
                | Self::CallerDeadline
                | Self::UnreadTimeout
                | Self::UpstreamTruncated
                | Self::UpstreamCorrupt
                | Self::Draining
        )
    }

    /// When to try again, if the same call may succeed later.
    pub fn retry_delay(self) -> Option<Duration> {
        self.row().retry_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_reasons() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.reason as usize, index, "{}", row.name);
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let document = include_str!("../../docs/errors.md");
        for row in TABLE {
            let retry = row.retry_ms.map_or("no".to_owned(), |delay| format!("{delay} ms"));
            let code = code_name(row.code);
            let line = format!("| `{}` | `{code}` | {retry} | {} |", row.name, row.meaning);
            assert!(document.contains(&line), "docs/errors.md lacks this line:\n{line}");
        }
        let rows = document.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, TABLE.len(), "docs/errors.md has rows that the code has not");
    }

    /// `InvalidArgument` as gRPC writes it: `INVALID_ARGUMENT`.
    fn code_name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(letter.to_uppercase());
        }
        name
    }
}
