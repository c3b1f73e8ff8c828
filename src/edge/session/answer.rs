//! The answers of the sign-in as JSON.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderName, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

use crate::error::{Error, Reason};

/// As whom the page is signed in.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State<'a> {
    /// Whether the server serves only known callers.
    pub(super) required: bool,
    /// The name of the caller, if the page is signed in.
    pub(super) caller: Option<&'a str>,
    /// The subject, for a token.
    pub(super) subject: Option<&'a str>,
    /// Whether a cookie is what the browser presents, and not a certificate, or a header of a proxy.
    pub(super) by_cookie: bool,
    /// Why what the browser presents is refused.
    pub(super) problem: Option<Problem<'a>>,
}

/// Why a sign-in failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem<'a> {
    reason: &'static str,
    message: &'a str,
    /// The time until a further attempt can succeed.
    retry_after_seconds: Option<u64>,
}

impl<'a> Problem<'a> {
    pub(super) fn of(error: &'a Error) -> Self {
        let seconds = error.retry_after().map(|delay| delay.as_secs_f64().ceil().max(1.0));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and a cast saturates"
        )]
        let retry_after_seconds = seconds.map(|seconds| seconds as u64);
        Self { reason: error.reason().name(), message: error.message(), retry_after_seconds }
    }
}

/// The headers of every answer. It is for this page alone, and for this moment.
pub(super) fn headers() -> [(HeaderName, &'static str); 4] {
    [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // These types have only strings, numbers and booleans, which are always JSON.
    let text = serde_json::to_string(body).unwrap_or_default();
    (status, headers(), [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The answer to a request that failed.
pub(super) fn from_error(error: &Error) -> Response {
    let status = match error.reason() {
        Reason::CredentialsMissing
        | Reason::CredentialsInvalid
        | Reason::CredentialsExpired
        | Reason::CredentialsRevoked => StatusCode::UNAUTHORIZED,
        Reason::OriginNotAllowed | Reason::PermissionDenied => StatusCode::FORBIDDEN,
        Reason::AuthenticationThrottled => StatusCode::TOO_MANY_REQUESTS,
        Reason::IdentityProvider => StatusCode::SERVICE_UNAVAILABLE,
        Reason::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        Reason::InvalidRequest | Reason::MalformedRequest => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let problem = Problem::of(error);
    let mut answer = json(status, &problem);
    if let Some(seconds) = problem.retry_after_seconds {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    }
    answer
}
