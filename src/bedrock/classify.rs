//! Maps failures of calls to Bedrock to [`Error`], with one table of exceptions for HTTP errors and frames.

use std::{error::Error as StdError, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use http::HeaderMap;
use serde_json::Value;

use super::redaction::{redacted, without_quoted_request};
use crate::error::{Error, Reason, corrupt};

/// The exceptions of the Bedrock Runtime API and of the AWS gateway, with their reasons, as HTTP errors and as exception frames. `docs/errors.md`
/// has the same table; a test compares the two.
pub const EXCEPTIONS: [(&str, Reason); 24] = [
    ("ValidationException", Reason::BedrockValidation),
    ("AccessDeniedException", Reason::BedrockAccessDenied),
    ("NotAuthorized", Reason::BedrockAccessDenied),
    ("UnrecognizedClientException", Reason::UpstreamCredentials),
    ("InvalidSignatureException", Reason::UpstreamCredentials),
    ("ExpiredTokenException", Reason::UpstreamCredentials),
    ("ExpiredToken", Reason::UpstreamCredentials),
    ("RequestExpired", Reason::UpstreamCredentials),
    ("IncompleteSignature", Reason::UpstreamCredentials),
    ("IncompleteSignatureException", Reason::UpstreamCredentials),
    ("MissingAuthenticationTokenException", Reason::UpstreamCredentials),
    ("MissingAuthenticationToken", Reason::UpstreamCredentials),
    ("InvalidClientTokenId", Reason::UpstreamCredentials),
    ("OptInRequired", Reason::UpstreamCredentials),
    ("ResourceNotFoundException", Reason::BedrockModelNotFound),
    ("ThrottlingException", Reason::BedrockThrottled),
    ("TooManyRequestsException", Reason::BedrockThrottled),
    ("ServiceQuotaExceededException", Reason::BedrockThrottled),
    ("ServiceUnavailableException", Reason::BedrockUnavailable),
    ("ModelNotReadyException", Reason::BedrockModelNotReady),
    ("InternalServerException", Reason::BedrockInternal),
    ("ModelErrorException", Reason::ModelError),
    ("ModelStreamErrorException", Reason::ModelError),
    ("ModelTimeoutException", Reason::ModelTimeout),
];

/// The characters of a body that is not JSON which the message quotes.
const QUOTED: usize = 200;

/// The reasons of HTTP errors without an exception, by status.
pub const STATUSES: [(u16, Reason); 11] = [
    (400, Reason::BedrockValidation),
    (401, Reason::UpstreamCredentials),
    (403, Reason::BedrockAccessDenied),
    (404, Reason::BedrockModelNotFound),
    (408, Reason::ModelTimeout),
    (424, Reason::ModelError),
    (429, Reason::BedrockThrottled),
    (500, Reason::BedrockInternal),
    (502, Reason::BedrockUnavailable),
    (503, Reason::BedrockUnavailable),
    (504, Reason::BedrockUnavailable),
];

/// The reason of an exception, or of its HTTP status if the exception is unknown.
fn reason(exception: &str, status: Option<u16>) -> Reason {
    let named = EXCEPTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(exception)).map(|(_, reason)| *reason);
    let numbered = || STATUSES.iter().find(|(number, _)| Some(*number) == status).map(|(_, reason)| *reason);
    named.or_else(numbered).unwrap_or(Reason::BedrockUnknown)
}

/// The error of an exception frame.
pub(crate) fn exception_frame(exception_type: &str, payload: &[u8]) -> Error {
    failure(exception_type, None, payload)
}

/// The error of a frame with `:message-type: error`.
pub(crate) fn error_frame(code: &str, message: &str) -> Error {
    failure(code, None, serde_json::json!({"message": message}).to_string().as_bytes())
}

/// The error of a call without a response stream.
pub(crate) fn sdk_error<E: StdError + Send + Sync + 'static>(error: SdkError<E, HttpResponse>) -> Error {
    if let Some(response) = error.raw_response() {
        if response.status().is_success() {
            return corrupt("the answer could not be read").with_source(error);
        }
        let classified = response_error(response);
        return classified.with_source(error);
    }
    if caused_by::<CredentialsError>(&error) {
        let message = "the server has no valid AWS credentials. Its operator has to set AWS_PROFILE, AWS_ACCESS_KEY_ID \
                       and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK";
        return Error::new(Reason::UpstreamCredentials, message).with_source(error);
    }
    match &error {
        SdkError::ConstructionFailure(_) => {
            Error::new(Reason::Internal, "the request to Bedrock could not be made").with_source(error)
        }
        _ => {
            let message = format!("Bedrock could not be reached: {}. Try again", root_cause(&error));
            Error::new(Reason::UpstreamUnreachable, message).with_source(error)
        }
    }
}

/// The AWS request id of an answer.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id"));
    id.and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
}

fn response_error(response: &HttpResponse) -> Error {
    let body = response.body().bytes().unwrap_or_default();
    let retry_after = response.headers().get("retry-after").and_then(|seconds| seconds.trim().parse().ok());
    failure(&exception_of(response), Some(response.status().as_u16()), body)
        .with_retry_after(retry_after.map(Duration::from_secs))
}

/// `x-amzn-errortype: Name:http://…`, or the member `__type` of the body.
fn exception_of(response: &HttpResponse) -> String {
    let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let named = header.or_else(|| {
        let body: Value = serde_json::from_slice(response.body().bytes()?).ok()?;
        Some(body.get("__type").or_else(|| body.get("code"))?.as_str()?.to_owned())
    });
    let name = named.unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().to_owned()
}

fn failure(exception: &str, status: Option<u16>, body: &[u8]) -> Error {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| json.get(name).and_then(|value| value.as_str().map(str::to_owned));
    let said = member("message")
        .or_else(|| member("Message"))
        .unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(QUOTED).collect::<String>().trim().to_owned());
    let reason = reason(exception, status);
    let who = match (exception, status) {
        ("", Some(status)) => format!("HTTP {status}"),
        ("", None) => "an unnamed failure".to_owned(),
        (name, _) => name.to_owned(),
    };
    let said = if said.is_empty() { "no message".to_owned() } else { said };
    let logged = if quotes_no_prompt(exception, reason) {
        format!("Bedrock: {who}: {}", without_quoted_request(&said))
    } else {
        who.clone()
    };
    let message = format!("Bedrock: {who}: {}{}", redacted(&said), advice(reason));
    let mut error = Error::new(reason, message).logged_as(logged);
    if !exception.is_empty() {
        error = error.with_exception(exception);
    }
    if let Some(original) = json.get("originalStatusCode").filter(|original| original.is_number()) {
        error = error.with_metadata("original_status_code", original.to_string());
    }
    for (name, fact) in [("originalMessage", "original_message"), ("resourceName", "resource_name")] {
        if let Some(value) = member(name) {
            error = error.with_metadata(fact, redacted(&value).into_owned());
        }
    }
    error
}

/// Whether the text is about the operator's account alone, so that the operator may read all of it. The texts of other exceptions may
/// quote the prompt, and so may the text of an error without a name.
fn quotes_no_prompt(exception: &str, reason: Reason) -> bool {
    !exception.is_empty() && matches!(reason, Reason::BedrockAccessDenied | Reason::UpstreamCredentials)
}

fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::BedrockAccessDenied => {
            " (enable the model for the account, or allow bedrock:InvokeModelWithResponseStream)"
        }
        Reason::UpstreamCredentials => " (the server's own AWS credentials: its operator has to renew them)",
        Reason::BedrockModelNotFound => " (check the model id and the region)",
        _ => "",
    }
}

fn caused_by<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    error.is::<T>() || error.source().is_some_and(caused_by::<T>)
}

fn root_cause(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_means_the_same_as_header_and_as_frame() {
        for (name, expected) in EXCEPTIONS {
            assert_eq!(reason(name, Some(400)), expected, "{name}");
            let lower_camel = name[..1].to_lowercase() + &name[1..];
            let error = exception_frame(&lower_camel, br#"{"message":"why"}"#);
            assert_eq!(error.reason(), expected, "{lower_camel}");
            assert!(error.to_string().contains("why"), "{error}");
        }
    }

    #[test]
    fn the_documentation_has_the_same_tables() {
        let document = include_str!("../../docs/errors.md");
        let exceptions = EXCEPTIONS.map(|(name, reason)| format!("| {name} | `{}` |", reason.name()));
        let statuses = STATUSES.map(|(status, reason)| format!("| {status} | `{}` |", reason.name()));
        for line in exceptions.iter().chain(&statuses) {
            assert!(document.contains(line), "docs/errors.md lacks this line:\n{line}");
        }
        let rows = document.lines().filter(|line| line.ends_with("` |") && !line.starts_with("| `")).count();
        assert_eq!(rows, EXCEPTIONS.len() + STATUSES.len(), "docs/errors.md has rows that the code has not");
    }

    #[test]
    fn without_a_name_the_status_decides() {
        assert_eq!(reason("", Some(429)), Reason::BedrockThrottled);
        assert_eq!(reason("", Some(503)), Reason::BedrockUnavailable);
        assert_eq!(reason("", Some(418)), Reason::BedrockUnknown);
        assert_eq!(reason("somethingNewException", None), Reason::BedrockUnknown);
    }

    #[test]
    fn the_operators_account_is_told_to_the_operator_alone() {
        let said = "User: arn:aws:sts::123456789012:assumed-role/Server/i-1 is not authorized";
        let body = serde_json::json!({"message": said, "originalMessage": said, "resourceName": said}).to_string();
        for (exception, is_logged) in [
            ("AccessDeniedException", true),
            ("ExpiredTokenException", true),
            ("ValidationException", false),
            ("", false),
        ] {
            let error = failure(exception, Some(403), body.as_bytes());
            assert_eq!(error.for_log().contains(said), is_logged, "{exception}: {}", error.for_log());
            let sent = format!("{:?}", error.into_status());
            assert!(!sent.contains("123456789012") && !sent.contains("Server/i-1"), "{exception}: {sent}");
            assert!(sent.contains("is not authorized"), "{exception}: {sent}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_quoted() {
        let error = failure("", Some(502), b"<html>Bad gateway</html>");
        assert!(error.to_string().contains("HTTP 502: <html>Bad gateway"), "{error}");
        assert!(failure("", Some(500), b"").to_string().contains("no message"));
    }
}
