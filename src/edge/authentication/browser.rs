//! The sign-in of the page: a browser presents a credential once, and has it in a cookie from then on.

use axum::extract::Request;
use zeroize::Zeroizing;

use super::{Authentication, cookie::SessionCookie, credentials::Credentials, proxies::CallerAddress};
use crate::{
    admission::client::ClientId,
    error::Error,
    identity::{Identity, directory::Refusal, key::NewKey},
};

/// The path of the sign-in, below that of the page.
pub(crate) const PATH: &str = "/session";

/// A browser that asks about its sign-in.
pub(crate) struct Browser {
    client: ClientId,
    credentials: Credentials,
    /// The cookie that it may have. `None` if a network would carry it unencrypted.
    pub(crate) cookie: Option<SessionCookie>,
}

impl Browser {
    /// Whether a cookie is what it presents, and no header or certificate.
    pub(crate) fn has_cookie(&self) -> bool {
        self.credentials.are_of_cookie()
    }
}

impl Authentication {
    /// Whether there are no callers, so that there is nothing to sign in to.
    pub(crate) fn is_open(&self) -> bool {
        self.directory.is_open()
    }

    /// Takes the credentials out of a request.
    pub(crate) fn browser_of(&self, request: &mut Request) -> Browser {
        let CallerAddress { address, certificate, encrypted } = self.proxies.caller_of(request);
        let cookie = SessionCookie::of(request, encrypted);
        let credentials = Credentials::take(request, certificate, cookie);
        Browser { client: address.map_or(ClientId::Unknown, ClientId::of_address), credentials, cookie }
    }

    /// As whom a browser is signed in, if it presents anything.
    ///
    /// # Errors
    /// Those of [`Authentication::check`] about credentials.
    pub(crate) async fn signed_in(&self, browser: &Browser) -> Result<Option<Identity>, Error> {
        if browser.credentials.are_missing() {
            return Ok(None);
        }
        self.identify_browser(&browser.credentials, &browser.client).await.map(Some)
    }

    /// The identity that a key or a token proves.
    ///
    /// # Errors
    /// Those of [`Authentication::check`] about credentials.
    pub(crate) async fn sign_in(&self, browser: &Browser, credential: Zeroizing<String>) -> Result<Identity, Error> {
        self.identify_browser(&Credentials::of_text(credential), &browser.client).await
    }

    async fn identify_browser(&self, credentials: &Credentials, client: &ClientId) -> Result<Identity, Error> {
        let identified = self.identify(credentials, client).await;
        identified.inspect_err(|error| {
            self.record(error, client, PATH, credentials);
            self.refused_outside_calls(error);
        })
    }

    /// The error of a link to sign in whose code is not valid. It counts as failed credentials.
    pub(crate) fn refuse_code(&self, browser: &Browser) -> Error {
        let error = self.failed(Refusal::Invalid, "the code of a link to sign in", &browser.client);
        self.refused_outside_calls(&error);
        error
    }

    /// Makes a key of a caller that only this process knows. `None` if the caller no longer exists, or if there are no random numbers.
    pub(crate) fn issue_key(&self, caller: &str) -> Option<NewKey> {
        self.directory.issue_key(caller).ok().flatten()
    }
}
