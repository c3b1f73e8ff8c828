//! The names of the conventions: those for RPC are stable, those for generative AI are in development (see docs/opentelemetry.md).

use opentelemetry::Value;
use tonic::Code;

use crate::outcome::Outcome;

pub(super) const RPC_SYSTEM: &str = "rpc.system.name";
pub(super) const RPC_METHOD: &str = "rpc.method";
pub(super) const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
pub(super) const RPC_STATUS: &str = "rpc.status_code";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const SERVER_ADDRESS: &str = "server.address";
pub(super) const SERVER_PORT: &str = "server.port";
pub(super) const CLIENT_ADDRESS: &str = "client.address";
pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(super) const RESPONSE_ID: &str = "gen_ai.response.id";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub(super) const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(super) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
pub(super) const MODALITY: &str = "gen_ai.token.modality";
pub(super) const REGION: &str = "cloud.region";
pub(super) const AWS_REQUEST_ID: &str = "aws.request_id";
pub(super) const HTTP_STATUS: &str = "http.response.status_code";
pub(super) const RESEND_COUNT: &str = "http.request.resend_count";
// Our own.
pub(super) const GENERATION_ID: &str = "outcrop.generation_id";
pub(super) const CALLER: &str = "outcrop.caller";
pub(super) const REASON: &str = "outcrop.reason";
pub(super) const TARGET_MODEL: &str = "outcrop.target.model_id";

/// The value of [`OPERATION`].
pub(super) const CHAT: &str = "chat";

/// The value of [`PROVIDER`].
pub(super) const BEDROCK: &str = "aws.bedrock";

/// The length of a text in an attribute, in bytes. Callers choose some of them, and spans wait in memory.
const MAX_TEXT: usize = 256;

/// A text of bounded length.
pub(super) fn text(text: &str) -> Value {
    Value::from(bounded(text).to_owned())
}

/// The beginning of a text.
pub(super) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The name of a method by its path, if the server has it.
pub(super) fn method(path: Option<&str>) -> &str {
    path.map_or("_OTHER", |path| path.trim_start_matches('/'))
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    /// The gRPC status code as it is written.
    pub(super) code: &'static str,
    /// The reason of an error.
    pub(super) reason: Option<&'static str>,
    /// Whether the server failed, and not the call.
    pub(super) is_fault: bool,
    /// Whether the caller left.
    pub(super) is_left: bool,
}

impl Status {
    pub(super) fn of(outcome: &Outcome<'_>) -> Self {
        let (code, reason, is_left) = match outcome {
            Outcome::Answered | Outcome::Finished => (Code::Ok, None, false),
            Outcome::Refused(error) | Outcome::Failed(error) => {
                (error.reason().code(), Some(error.reason().name()), false)
            }
            Outcome::Left | Outcome::Abandoned { .. } => (Code::Cancelled, None, true),
        };
        // The codes that the conventions for servers count as errors.
        let is_fault = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        Self { code: code_name(code), reason, is_fault, is_left }
    }
}

/// A status code as the conventions write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
