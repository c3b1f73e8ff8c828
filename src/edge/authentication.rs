//! Decides who makes a call, before a byte of its body is read. Every method needs an identity unless [`Access`] says that it is open, so a
//! method that is added later needs one too.
//!
//! After it a request has an [`Identity`] among its extensions, and no credentials among its headers.
//!
//! - `credentials` what a request presents; [`cookie`] how a browser has it
//! - [`browser`] the sign-in of the page
//! - [`signed`] verifies the signatures of calls to the Bedrock API; `signature` computes one again, over the text of `canonical`;
//!   `used` refuses replays
//! - [`proxies`] the address and the certificate of a caller behind a proxy

pub(crate) mod browser;
mod canonical;
pub(crate) mod cookie;
mod credentials;
pub(crate) mod proxies;
mod signature;
pub(crate) mod signed;
mod used;

use std::{sync::Arc, time::SystemTime};

use axum::extract::Request;
use tracing::{debug, warn};

use self::{
    cookie::SessionCookie,
    credentials::{Credentials, Presented},
    proxies::{CallerAddress, TrustedProxies},
    signed::{Flaw, Outcome},
};
use crate::{
    admission::{client::ClientId, failure_limit::FailureLimit},
    audit::Audit,
    edge::protocol::FromWeb,
    error::{Error, Reason},
    identity::{
        Identity,
        directory::{Directory, Refusal},
        permissions::{METRICS, REFLECTION},
    },
    metrics::Metrics,
    telemetry::call::CallRecord,
};

/// What to send, for callers without valid credentials.
const ADVICE: &str = "Send an API key or a token as `authorization: Bearer …` (or an API key as `x-api-key`)";

/// The exceptions of AWS for signatures.
const UNKNOWN_KEY: &str = "UnrecognizedClientException";
const WRONG_SIGNATURE: &str = "InvalidSignatureException";

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access<'a> {
    /// All clients.
    Open,
    /// Callers with the permission of this name.
    Permitted(&'a str),
}

/// The state of the authentication. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Authentication {
    pub(crate) directory: Directory,
    /// Whether reflection is open to all clients.
    pub(crate) open_reflection: bool,
    pub(crate) proxies: TrustedProxies,
    pub(crate) failures: Arc<FailureLimit>,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
}

impl Authentication {
    /// Decides who makes a call, and attaches the identity.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING`, `CREDENTIALS_INVALID`, `CREDENTIALS_EXPIRED`, `CREDENTIALS_REVOKED`, `AUTHENTICATION_THROTTLED`,
    /// `IDENTITY_PROVIDER`, `PERMISSION_DENIED`.
    pub(crate) async fn check(&self, request: &mut Request) -> Result<(), Error> {
        let path = request.uri().path().to_owned();
        let record = CallRecord::of(request.extensions())?;
        self.check_access(request, self.access(&path), Some(&record)).await
    }

    /// Decides whether a caller may read the metrics.
    ///
    /// # Errors
    /// As [`Authentication::check`].
    pub(crate) async fn check_metrics(&self, request: &mut Request) -> Result<(), Error> {
        let checked = self.check_access(request, Access::Permitted(METRICS), None).await;
        checked.inspect_err(|error| self.refused_outside_calls(error))
    }

    /// `record` is that of the call, unless the request is no call.
    async fn check_access(
        &self,
        request: &mut Request,
        access: Access<'_>,
        record: Option<&CallRecord>,
    ) -> Result<(), Error> {
        let CallerAddress { address, certificate, encrypted } = self.proxies.caller_of(request);
        // A browser adds the cookie by itself, so it counts only for calls that are checked to come from the server's own page.
        let is_from_page = request.extensions().get::<FromWeb>().is_some();
        let cookie = if is_from_page { SessionCookie::of(request, encrypted) } else { None };
        let credentials = Credentials::take(request, certificate, cookie);
        let client = address.map_or(ClientId::Unknown, ClientId::of_address);
        let path = request.uri().path();
        if let Some(record) = record {
            record.came_from(&client);
        }
        let identity = match self.directory.without_credentials(address, access == Access::Open) {
            Some(identity) => identity,
            None => {
                let identified = self.identify(&credentials, &client).await;
                let recorded = identified.inspect_err(|error| self.record(error, &client, path, &credentials));
                recorded?.at(client.clone())
            }
        };
        if let Access::Permitted(name) = access
            && !identity.permissions().allow_method(name)
        {
            let message =
                format!("the caller {:?} may not call {path}. Ask the operator for `methods`", identity.caller());
            if let Some(record) = record {
                record.identified(&identity);
                record.audited(self.audit.begin(&identity, path, record.generation_id())?);
            }
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        if let Some(record) = record {
            record.identified(&identity);
        }
        request.extensions_mut().insert(identity);
        Ok(())
    }

    /// Records refused credentials. Calls without credentials and those of a throttled address are only counted, because any client can make
    /// many of them.
    fn record(&self, error: &Error, client: &ClientId, path: &str, credentials: &Credentials) {
        if !matches!(error.reason(), Reason::CredentialsMissing | Reason::AuthenticationThrottled) {
            self.audit.not_identified(client, path, credentials.key_id(), error);
        }
    }

    fn access<'a>(&self, path: &'a str) -> Access<'a> {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        match service {
            // Load balancers have no credentials.
            "grpc.health.v1.Health" if matches!(method, "Check" | "Watch") => Access::Open,
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
                if self.open_reflection { Access::Open } else { Access::Permitted(REFLECTION) }
            }
            _ => Access::Permitted(method),
        }
    }

    /// The identity that the credentials prove.
    async fn identify(&self, credentials: &Credentials, client: &ClientId) -> Result<Identity, Error> {
        let identified = match credentials.presented() {
            Presented::Nothing => {
                let message =
                    format!("this server serves only known callers, and the call has no credentials. {ADVICE}");
                return Err(Error::new(Reason::CredentialsMissing, message));
            }
            Presented::Unreadable(what) => Err((Refusal::Invalid, what)),
            Presented::Unnamed(problem) => {
                return Err(Error::new(Reason::CredentialsInvalid, format!("{problem}. {ADVICE}")));
            }
            Presented::Key(key) => {
                self.directory.by_key(&key, SystemTime::now()).map_err(|refusal| (refusal, "the API key"))
            }
            Presented::Signature(Outcome(Ok(id))) => {
                self.directory.by_signature(id, SystemTime::now()).map_err(|refusal| (refusal, "the access key"))
            }
            Presented::Signature(Outcome(Err(flaw))) => return Err(self.unsigned(flaw, client)),
            Presented::Token(token) => {
                self.directory.by_token(token).await.map_err(|refusal| (refusal, "the API key or token"))
            }
            Presented::Certificate(uri) => {
                self.directory.by_certificate(uri).map_err(|refusal| (refusal, "the client certificate"))
            }
        };
        identified.map_err(|(refusal, what)| self.failed(refusal, what, client))
    }

    /// The error of a signature that proves nothing.
    fn unsigned(&self, flaw: &Flaw, client: &ClientId) -> Error {
        let (exception, message) = match flaw {
            Flaw::UnknownKey(id) => (UNKNOWN_KEY, format!("this server has not issued the access key {id:?}")),
            Flaw::Wrong(what) => (WRONG_SIGNATURE, what.clone()),
            Flaw::Full => {
                let message = "more signed calls were made than this server can tell from replays. Try again later";
                return Error::new(Reason::AuthenticationThrottled, message);
            }
        };
        let error = self.failed(Refusal::Invalid, "the signature", client);
        if error.reason() != Reason::CredentialsInvalid {
            return error;
        }
        let advice = "Sign with an access key that its operator has given you (outcrop keys new --sigv4)";
        Error::new(Reason::CredentialsInvalid, format!("{message}. {advice}")).with_exception(exception)
    }

    /// The error of credentials that prove nothing.
    fn failed(&self, refusal: Refusal, what: &str, client: &ClientId) -> Error {
        if refusal == Refusal::IssuerUnavailable {
            let message = "the keys of the token's issuer cannot be fetched now, so the token cannot be verified. Try again later";
            return Error::new(Reason::IdentityProvider, message);
        }
        if let Some(wait) = self.failures.throttled(client) {
            let message =
                format!("too many calls from this address had invalid credentials. Try again after {wait:.1?}");
            return Error::new(Reason::AuthenticationThrottled, message).with_retry_after(Some(wait));
        }
        self.failures.failed(client);
        match refusal {
            Refusal::Invalid => {
                let message = format!("{what} is not valid at this server. {ADVICE} that its operator has given you");
                Error::new(Reason::CredentialsInvalid, message)
            }
            Refusal::Expired => Error::new(Reason::CredentialsExpired, format!("{what} has expired. Use a newer one")),
            Refusal::Revoked | Refusal::IssuerUnavailable => {
                Error::new(Reason::CredentialsRevoked, format!("{what} was revoked by the operator"))
            }
        }
    }

    /// Logs and counts the refusal of a request that is no call, which has no record.
    fn refused_outside_calls(&self, error: &Error) {
        if error.reason().is_of_any_client() {
            debug!(error = %error.for_log(), "refused");
        } else {
            warn!(error = %error.for_log(), "refused");
        }
        self.metrics.refused("", error.reason());
    }
}
