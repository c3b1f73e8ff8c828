//! An error before content in the shape that AWS SDKs read: the status, `x-amzn-errortype`, and JSON with a `message`.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

use crate::error::{Error, Reason, Violation};

/// The header with the name of an exception.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The header with the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The header with the reason of this server, of which an exception of AWS tells less.
const REASON: HeaderName = HeaderName::from_static("outcrop-reason");

/// The status and the exception of a reason.
pub(crate) const fn exception(reason: Reason) -> (u16, &'static str) {
    match reason {
        Reason::InvalidRequest
        | Reason::MalformedRequest
        | Reason::CardinalityViolation
        | Reason::BedrockValidation
        | Reason::CallerCancelled
        | Reason::NoConversations
        | Reason::ConversationNotFound
        | Reason::ConversationBusy
        | Reason::ConversationChanged
        | Reason::ConversationTurnStored => (400, "ValidationException"),
        Reason::MessageTooLarge => (413, "ValidationException"),
        Reason::UnknownMethod => (404, "UnknownOperationException"),
        Reason::CredentialsMissing => (403, "MissingAuthenticationTokenException"),
        Reason::CredentialsExpired => (403, "ExpiredTokenException"),
        Reason::CredentialsInvalid | Reason::CredentialsRevoked => (403, "UnrecognizedClientException"),
        Reason::OriginNotAllowed | Reason::PermissionDenied | Reason::BedrockAccessDenied => {
            (403, "AccessDeniedException")
        }
        Reason::BedrockModelNotFound => (404, "ResourceNotFoundException"),
        Reason::BodyTimeout
        | Reason::ModelTimeout
        | Reason::FirstContentTimeout
        | Reason::IdleTimeout
        | Reason::TotalTimeout
        | Reason::CallerDeadline
        | Reason::UnreadTimeout => (408, "ModelTimeoutException"),
        Reason::ModelError => (424, "ModelErrorException"),
        Reason::AuthenticationThrottled
        | Reason::BedrockThrottled
        | Reason::LocalLimit
        | Reason::QuotaExhausted
        | Reason::BudgetExhausted => (429, "ThrottlingException"),
        Reason::BedrockModelNotReady => (429, "ModelNotReadyException"),
        Reason::BedrockInternal
        | Reason::BedrockUnknown
        | Reason::UpstreamCredentials
        | Reason::Internal
        | Reason::Transport
        | Reason::ConversationLeaseLost
        | Reason::ConversationStore
        | Reason::ConversationOutcomeUnknown => (500, "InternalServerException"),
        Reason::IdentityProvider
        | Reason::AuditLog
        | Reason::BedrockUnavailable
        | Reason::UpstreamUnreachable
        | Reason::ConnectTimeout
        | Reason::UpstreamTruncated
        | Reason::UpstreamCorrupt
        | Reason::Draining => (503, "ServiceUnavailableException"),
    }
}

/// What is said of an error: its message, and each violation of the request.
pub(crate) fn message(error: &Error) -> String {
    let violations = error.violations().iter();
    let violations = violations.map(|Violation { field, description }| format!("; {field} {description}"));
    format!("{}{}", error.message(), violations.collect::<String>())
}

/// The answer to a call that failed before content.
pub(crate) fn answer(error: &Error) -> Response {
    let reason = error.reason();
    let (status, name) = exception(reason);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::json!({ "message": message(error) }).to_string();
    let json = HeaderValue::from_static("application/json");
    let mut answer = (status, [(CONTENT_TYPE, json)], Body::from(body)).into_response();
    let headers = answer.headers_mut();
    // Of credentials that are invalid AWS says in which way.
    let exception = Some(error.exception()).filter(|own| reason == Reason::CredentialsInvalid && !own.is_empty());
    headers.insert(ERROR_TYPE, exception.and_then(|own| own.parse().ok()).unwrap_or(HeaderValue::from_static(name)));
    headers.insert(REASON, HeaderValue::from_static(reason.name()));
    let delay = error.retry_after().or_else(|| reason.retry_delay());
    if let (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(delay)) = (status, delay) {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.max(1).into());
    }
    if let Ok(id) = HeaderValue::try_from(error.call().request_id)
        && !id.is_empty()
    {
        headers.insert(REQUEST_ID, id);
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::TABLE;

    #[test]
    fn every_reason_is_an_exception_that_the_sdks_know() {
        for row in TABLE {
            let (status, name) = exception(row.reason);
            assert!((400..=599).contains(&status) && name.ends_with("Exception"), "{}", row.name);
        }
    }

    #[tokio::test]
    async fn an_error_has_its_delay_its_id_and_its_violations() {
        let violation = Violation { field: "model".into(), description: "is not set".into() };
        let call = crate::error::CallContext { request_id: "id-of-aws".into(), ..Default::default() };
        let error = Error::new(Reason::LocalLimit, "too many")
            .with_retry_after(Some(Duration::from_millis(1_200)))
            .with_violations(vec![violation])
            .in_call(call);
        let answer = answer(&error);
        assert_eq!(
            (answer.status(), &answer.headers()[RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"2".parse().unwrap())
        );
        assert_eq!(answer.headers()[ERROR_TYPE], "ThrottlingException");
        assert_eq!(answer.headers()[REQUEST_ID], "id-of-aws");
        let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
        assert_eq!(body, r#"{"message":"too many; model is not set"}"#);
    }
}
