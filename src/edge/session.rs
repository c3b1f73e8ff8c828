//! The sign-in of the page, at `/session`. `POST` verifies a key or a token and answers with a cookie that holds it, `DELETE` removes the
//! cookie and what the browser stored, and `GET` tells as whom the page is signed in.
//!
//! The script of the page never sees the credential again: the cookie is `HttpOnly`. Only the server's own page may ask.
//!
//! - `answer` the answers as JSON
//! - `body` the body of a sign-in, which is bounded in size and time
//! - [`link`] a link that signs a browser in once

mod answer;
mod body;
pub(crate) mod link;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, LOCATION, SET_COOKIE},
};
use tracing::{debug, info};

use self::{
    answer::{Problem, State, from_error, json},
    link::OneTimeLink,
};
use crate::{
    edge::{
        authentication::{
            Authentication,
            browser::{Browser, PATH},
            cookie::{MAX_CREDENTIAL, SessionCookie},
        },
        host::AllowedHosts,
    },
    error::{Error, Reason},
    identity::Credential,
};

/// A browser that fetches a page before its user opens it says so.
const PURPOSES: [&str; 2] = ["sec-purpose", "purpose"];

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// What the browser removes at the end of a session, besides the cookie. Not `"cookies"`: it means all cookies of the registered domain, so it
/// would sign the user out of other servers too.
const CLEARED: HeaderValue = HeaderValue::from_static("\"storage\", \"cache\"");

/// The sign-in. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) authentication: Authentication,
    pub(crate) hosts: AllowedHosts,
    /// The link that signs a browser in once, if the operator wants one.
    pub(crate) link: Option<OneTimeLink>,
}

impl Session {
    /// Whether a path is of the sign-in.
    pub(crate) fn has(&self, path: &str) -> bool {
        path == PATH || (path == link::PATH && self.link.is_some())
    }

    /// Answers a request to a path that it has.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        if let Some(link) = self.link.as_ref().filter(|_| request.uri().path() == link::PATH) {
            return self.follow(link, request);
        }
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
        let mut state = State { required: true, by_cookie: browser.has_cookie(), ..State::default() };
        let identity = match self.authentication.signed_in(browser).await {
            Ok(identity) => identity,
            Err(error) => {
                state.problem = Some(Problem::of(&error));
                let mut answer = json(StatusCode::OK, &state);
                if let Some(cookie) = browser.cookie.filter(|_| state.by_cookie && is_final(&error)) {
                    answer.headers_mut().insert(SET_COOKIE, cookie.remove());
                }
                return answer;
            }
        };
        if let Some(identity) = &identity {
            state.caller = Some(identity.caller());
            // A token is one subject of many of a caller, whose conversations are its own.
            state.subject = matches!(identity.credential(), Credential::Token { .. }).then(|| identity.subject());
        }
        json(StatusCode::OK, &state)
    }

    /// Signs the browser in that opens the link, with a key that only this process knows.
    fn follow(&self, link: &OneTimeLink, mut request: Request) -> Response {
        let text = |status: StatusCode, text: String| (status, answer::headers(), text).into_response();
        if let Err(refused) = self.hosts.check_file(&request) {
            return text(StatusCode::FORBIDDEN, format!("{refused}\n"));
        }
        if request.method() != Method::GET {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response();
        }
        if PURPOSES.iter().any(|name| request.headers().contains_key(*name)) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "The link works once, when it is opened.\n".to_owned());
        }
        let browser = self.authentication.browser_of(&mut request);
        let code = request.uri().query().and_then(|query| query.strip_prefix("code=")).unwrap_or_default();
        // The link is for loopback addresses, on which every browser may have a cookie.
        let redeemed = browser.cookie.and_then(|cookie| Some((cookie, link.redeem(code)?)));
        let Some((cookie, caller)) = redeemed else {
            let error = self.authentication.refuse_code(&browser);
            debug!(error = %error.for_log(), "a link to sign in is refused");
            let told = "This link has been used, or is older than 10 minutes. Sign in with a key at / or start the server again.\n";
            return text(StatusCode::FORBIDDEN, told.to_owned());
        };
        let key = self.authentication.issue_key(caller);
        let Some(header) = key.and_then(|key| cookie.set(key.text()).ok()) else {
            return text(StatusCode::FORBIDDEN, format!("The caller {caller:?} no longer exists.\n"));
        };
        info!(caller, "signed in to the page with the link that was printed at start");
        (StatusCode::SEE_OTHER, answer::headers(), [(SET_COOKIE, header), (LOCATION, HeaderValue::from_static("/"))])
            .into_response()
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
