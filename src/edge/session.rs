//! The sign-in of the page, at `/session`. `POST` verifies a key or a token and answers with a cookie that holds it, `DELETE` removes the
//! cookie and what the browser stored, and `GET` tells as whom the page is signed in.
//!
//! The script of the page never sees the credential again: the cookie is `HttpOnly`. Only the server's own page may ask.
//!
//! - `answer` the answers as JSON
//! - `body` the body of a sign-in, which is bounded in size and time

mod answer;
mod body;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, SET_COOKIE},
};
use tracing::{debug, info};

use self::answer::{Problem, State, from_error, json};
use crate::{
    edge::{
        authentication::{
            Authentication,
            browser::Browser,
            cookie::{MAX_CREDENTIAL, SessionCookie},
        },
        host::AllowedHosts,
    },
    error::{Error, Reason},
    identity::Credential,
};

/// The path, below that of the page.
pub(crate) const PATH: &str = "/session";

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// What the browser removes at the end of a session, besides the cookie. Not `"cookies"`: it means all cookies of the registered domain, so it
/// would sign the user out of other servers too.
const CLEARED: HeaderValue = HeaderValue::from_static("\"storage\", \"cache\"");

/// The sign-in. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) authentication: Authentication,
    pub(crate) hosts: AllowedHosts,
}

impl Session {
    /// Answers a request to [`PATH`].
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        if let Err(refused) = self.hosts.check_page(&request) {
            return from_error(&refused);
        }
        let browser = self.authentication.browser_of(&mut request);
        match *request.method() {
            Method::GET => self.tell(&browser).await,
            Method::POST => match self.begin(&browser, request).await {
                Ok(answer) => answer,
                Err(error) => from_error(&error),
            },
            Method::DELETE => end(&browser),
            _ => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, POST, DELETE")]).into_response(),
        }
    }

    /// As whom the page is signed in, and whether it has to be.
    async fn tell(&self, browser: &Browser) -> Response {
        if self.authentication.is_open() {
            return json(StatusCode::OK, &State::default());
        }
        let mut state = State { required: true, ..State::default() };
        let identity = match self.authentication.signed_in(browser).await {
            Ok(identity) => identity,
            Err(error) => {
                state.problem = Some(Problem::of(&error));
                let mut answer = json(StatusCode::OK, &state);
                if let Some(cookie) = browser.cookie.filter(|_| browser.has_cookie() && is_final(&error)) {
                    answer.headers_mut().insert(SET_COOKIE, cookie.remove());
                }
                return answer;
            }
        };
        if let Some(identity) = &identity {
            state.caller = Some(identity.caller());
            state.by_cookie = browser.has_cookie();
            // A token is one subject of many of a caller, whose conversations are its own.
            state.subject = matches!(identity.credential(), Credential::Token { .. }).then(|| identity.subject());
        }
        json(StatusCode::OK, &state)
    }

    /// Verifies a credential, and sets the cookie.
    async fn begin(&self, browser: &Browser, request: Request) -> Result<Response, Error> {
        if self.authentication.is_open() {
            let message = "this server serves all callers, so there is nothing to sign in to";
            return Err(Error::new(Reason::InvalidRequest, message));
        }
        let Some(cookie) = browser.cookie else {
            let message = "a network would carry the credential unencrypted. Use https, or http://localhost on the machine of the server. \
                           Behind a proxy that encrypts, start the server with --trusted-proxy, and let the proxy send `x-forwarded-proto`";
            return Err(Error::new(Reason::PermissionDenied, message));
        };
        let credential = body::credential(request).await?;
        let header = set(cookie, &credential)?;
        let identity = self.authentication.sign_in(browser, credential).await?;
        info!(caller = identity.caller(), credential = ?identity.credential(), "signed in to the page");
        Ok((StatusCode::NO_CONTENT, answer::headers(), [(SET_COOKIE, header)]).into_response())
    }
}

/// Whether a credential that was refused with this error stays refused.
fn is_final(error: &Error) -> bool {
    matches!(error.reason(), Reason::CredentialsInvalid | Reason::CredentialsExpired | Reason::CredentialsRevoked)
}

/// The header that sets the cookie.
fn set(cookie: SessionCookie, credential: &str) -> Result<HeaderValue, Error> {
    if credential.len() > MAX_CREDENTIAL {
        let message = format!(
            "the credential has {} bytes, and browsers keep at most {MAX_CREDENTIAL} in a cookie. Use an API key, or a token with fewer claims",
            credential.len()
        );
        return Err(Error::new(Reason::MessageTooLarge, message));
    }
    let is_cookie = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    let header = if credential.bytes().all(is_cookie) { cookie.set(credential).ok() } else { None };
    let message = "the credential has characters that neither API keys nor tokens have";
    header.ok_or_else(|| Error::new(Reason::CredentialsInvalid, message))
}

/// Removes the cookie, and what the browser stored.
fn end(browser: &Browser) -> Response {
    let mut answer = (StatusCode::NO_CONTENT, answer::headers()).into_response();
    if let Some(cookie) = browser.cookie {
        debug!("signed out of the page");
        answer.headers_mut().insert(SET_COOKIE, cookie.remove());
        // Browsers accept it only over https and from loopback addresses.
        answer.headers_mut().insert(CLEAR_SITE_DATA, CLEARED);
    }
    *answer.body_mut() = Body::empty();
    answer
}
