//! The body of a sign-in: `{"credential": "…"}`, bounded in size and time.

use std::{error::Error as _, time::Duration};

use axum::{body::to_bytes, extract::Request};
use http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use serde::Deserialize;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::error::{Error, Reason};

/// The maximum size in bytes: the longest credential of a cookie, and the JSON around it.
const MAX_BODY: usize = 8 << 10;

/// The time for the whole body.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    credential: String,
}

/// Receives the credential. Spaces around it, as pasted text can have, are removed.
///
/// # Errors
/// `MALFORMED_REQUEST`, `MESSAGE_TOO_LARGE`, `BODY_TIMEOUT`.
pub(super) async fn credential(request: Request) -> Result<Zeroizing<String>, Error> {
    // Forms of other pages cannot send this type.
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(malformed());
    }
    let received = timeout(TIMEOUT, to_bytes(request.into_body(), MAX_BODY)).await.map_err(|_| {
        Error::new(Reason::BodyTimeout, format!("the body of the sign-in was not received within {TIMEOUT:?}"))
    })?;
    let body = received.map_err(|error| {
        if error.source().is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
            let message = format!("the body of the sign-in has more than {MAX_BODY} bytes");
            return Error::new(Reason::MessageTooLarge, message);
        }
        malformed()
    })?;
    // The error of the parser can quote the credential.
    let SignIn { credential } = serde_json::from_slice(&body).map_err(|_| malformed())?;
    let credential = Zeroizing::new(credential);
    Ok(Zeroizing::new(credential.trim().to_owned()))
}

fn malformed() -> Error {
    Error::new(
        Reason::MalformedRequest,
        "the body of a sign-in is {\"credential\": \"…\"}, with the content type application/json",
    )
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use tokio::time::{Instant, sleep};
    use tokio_stream::StreamExt as _;

    use super::*;

    fn post(body: Body) -> Request {
        Request::builder().header(CONTENT_TYPE, "application/json; charset=utf-8").body(body).unwrap()
    }

    fn reason(result: Result<Zeroizing<String>, Error>) -> Reason {
        result.err().unwrap().reason()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_sent_slowly_is_not_awaited() {
        for pause in [Duration::from_millis(500), Duration::from_hours(1)] {
            let drops = tokio_stream::iter(std::iter::repeat_n(Bytes::from_static(b" "), 5_000));
            let slow = drops.then(move |byte| async move {
                sleep(pause).await;
                Ok::<_, std::io::Error>(byte)
            });
            let started = Instant::now();
            assert_eq!(reason(credential(post(Body::from_stream(slow))).await), Reason::BodyTimeout);
            assert_eq!(started.elapsed(), TIMEOUT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_a_length_or_an_end_is_not_stored() {
        let pieces = std::iter::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_024])));
        let endless = tokio_stream::iter(pieces);
        assert_eq!(reason(credential(post(Body::from_stream(endless))).await), Reason::MessageTooLarge);
        let broken = tokio_stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        assert_eq!(reason(credential(post(Body::from_stream(broken))).await), Reason::MalformedRequest);
    }

    #[tokio::test]
    async fn the_error_does_not_quote_what_was_sent() {
        let error = credential(post(Body::from(r#"{"credential": "durian", "durian": 1}"#))).await.err().unwrap();
        assert!(!format!("{error} {error:?}").contains("durian"), "{error:?}");
        assert_eq!(credential(post(Body::from(r#"{"credential": " a "}"#))).await.unwrap().as_str(), "a");
    }
}
