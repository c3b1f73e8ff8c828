//! The credentials of a request. They are taken out of its headers, so that nothing behind the authentication can log or forward them.

use std::{fmt, sync::Arc};

use axum::extract::Request;
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
};
use zeroize::Zeroizing;

use super::{
    cookie::{Found, SessionCookie},
    signed::Outcome,
};
use crate::{edge::tls::ClientCertificate, identity::key::PresentedKey};

/// The header of an API key, as many HTTP services have it.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers that are removed from every request.
const SECRET: [HeaderName; 4] = [AUTHORIZATION, API_KEY, COOKIE, PROXY_AUTHORIZATION];

/// What a request has to prove its caller. A key or a token in its headers goes before a cookie, and both before the certificate of its
/// connection.
pub(super) struct Credentials {
    text: Text,
    of_cookie: bool,
    certificate: Option<ClientCertificate>,
}

enum Text {
    Nothing,
    /// A key or a token.
    Bearer(Zeroizing<String>),
    /// A signature that was verified, well or not.
    Signature(Outcome),
    /// Headers that are none, and what is wrong with them.
    Unreadable(&'static str),
}

/// Credentials by their kind.
pub(super) enum Presented<'a> {
    Nothing,
    /// Headers that are no credentials, and what is wrong with them.
    Unreadable(&'static str),
    Key(PresentedKey<'a>),
    /// What a signature came to.
    Signature(&'a Outcome),
    /// A text that is no API key, and can be a token.
    Token(&'a str),
    /// The URI SAN of a client certificate.
    Certificate(&'a Arc<str>),
    /// A client certificate without one name, and why.
    Unnamed(&'a str),
}

impl Credentials {
    /// Takes the credentials out of a request. `certificate` is the verified client certificate, and `cookie` the cookie that counts.
    pub(super) fn take(
        request: &mut Request,
        certificate: Option<ClientCertificate>,
        cookie: Option<SessionCookie>,
    ) -> Self {
        let mut text = match request.extensions_mut().remove() {
            Some(outcome) => Text::Signature(outcome),
            None => Text::of(request.headers()),
        };
        let of_cookie = match (&text, cookie) {
            (Text::Nothing, Some(cookie)) => {
                text = Text::of_cookie(cookie.read(request.headers()));
                !matches!(text, Text::Nothing)
            }
            _ => false,
        };
        for name in SECRET {
            request.headers_mut().remove(name);
        }
        Self { text, of_cookie, certificate }
    }

    /// A key or a token by itself.
    pub(super) fn of_text(text: Zeroizing<String>) -> Self {
        Self { text: Text::Bearer(text), of_cookie: false, certificate: None }
    }

    /// Whether they are of a cookie.
    pub(super) fn are_of_cookie(&self) -> bool {
        self.of_cookie
    }

    /// Whether there are none.
    pub(super) fn are_missing(&self) -> bool {
        matches!((&self.text, &self.certificate), (Text::Nothing, None))
    }

    /// The id of the API key among them. It is no secret.
    pub(super) fn key_id(&self) -> &str {
        match &self.text {
            Text::Bearer(text) => PresentedKey::id_in(text).unwrap_or_default(),
            Text::Signature(outcome) => outcome.key_id(),
            _ => "",
        }
    }

    /// What they are.
    pub(super) fn presented(&self) -> Presented<'_> {
        match (&self.text, &self.certificate) {
            (Text::Bearer(text), _) => match PresentedKey::parse(text) {
                Some(key) => Presented::Key(key),
                None => Presented::Token(text),
            },
            (Text::Signature(outcome), _) => Presented::Signature(outcome),
            (Text::Unreadable(what), _) => Presented::Unreadable(what),
            (Text::Nothing, Some(ClientCertificate::Name(uri))) => Presented::Certificate(uri),
            (Text::Nothing, Some(ClientCertificate::Problem(problem))) => Presented::Unnamed(problem),
            (Text::Nothing, None) => Presented::Nothing,
        }
    }
}

impl Text {
    fn of_cookie(found: Found) -> Self {
        match found {
            Found::Nothing => Self::Nothing,
            Found::Credential(credential) => Self::Bearer(credential),
            Found::Several => Self::Unreadable("more than one cookie of this server"),
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(API_KEY).iter());
        let Some(value) = values.next() else { return Self::Nothing };
        if values.next().is_some() {
            return Self::Unreadable("more than one `authorization` or `x-api-key`");
        }
        let Ok(text) = value.to_str() else { return Self::Unreadable("a header of credentials that is not text") };
        if headers.contains_key(API_KEY) {
            return Self::Bearer(Zeroizing::new(text.trim().to_owned()));
        }
        match text.split_once(' ') {
            Some((scheme, credentials)) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::Bearer(Zeroizing::new(credentials.trim().to_owned()))
            }
            _ => Self::Unreadable("an `authorization` that is not `Bearer …`"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn kind(headers: &[(&str, &str)], certificate: Option<&str>) -> &'static str {
        kind_with(headers, certificate, None)
    }

    fn kind_with(headers: &[(&str, &str)], certificate: Option<&str>, cookie: Option<SessionCookie>) -> &'static str {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let credentials =
            Credentials::take(&mut request, certificate.map(|uri| ClientCertificate::Name(uri.into())), cookie);
        assert!(request.headers().is_empty(), "{:?}", request.headers());
        assert!(!format!("{credentials:?}").contains("oc_"));
        match credentials.presented() {
            Presented::Nothing => "nothing",
            Presented::Unreadable(_) => "unreadable",
            Presented::Key(_) => "key",
            Presented::Signature(_) => "signature",
            Presented::Token(_) => "token",
            Presented::Certificate(_) => "certificate",
            Presented::Unnamed(_) => "unnamed",
        }
    }

    #[test]
    fn one_credential_is_taken_and_none_stays_in_the_headers() {
        let key = format!("oc_abcdefghijkm_{}", "a".repeat(43));
        let bearer = format!("bEARER  {key}");
        assert_eq!(kind(&[("authorization", &bearer)], None), "key");
        assert_eq!(kind(&[("x-api-key", &key), ("cookie", "a=b")], Some("spiffe://a/b")), "key");
        assert_eq!(kind(&[], Some("spiffe://a/b")), "certificate");
        assert_eq!(kind(&[("cookie", "a=b")], None), "nothing");
        assert_eq!(kind(&[("authorization", "Bearer x.y.z")], Some("spiffe://a/b")), "token");
        for headers in [
            &[("authorization", bearer.as_str()), ("x-api-key", key.as_str())][..],
            &[("authorization", &bearer), ("authorization", &bearer)],
            &[("authorization", &key)],
            &[("authorization", "Basic YTpi")],
        ] {
            assert_eq!(kind(headers, Some("spiffe://a/b")), "unreadable", "{headers:?}");
        }
    }
    #[test]
    fn a_cookie_counts_only_where_it_may_and_after_the_headers() {
        let (key, other) = (format!("oc_abcdefghijkm_{}", "a".repeat(43)), format!("outcrop=oc_x_{}", "b".repeat(43)));
        let cookie = format!("a=b; outcrop={key}");
        let loopback = Some(SessionCookie::Loopback);
        assert_eq!(kind_with(&[("cookie", &cookie)], None, loopback), "key");
        assert_eq!(kind_with(&[("cookie", &cookie)], Some("spiffe://a/b"), loopback), "key");
        assert_eq!(kind_with(&[("cookie", &cookie)], None, None), "nothing");
        assert_eq!(kind_with(&[("cookie", &cookie)], None, Some(SessionCookie::Encrypted)), "nothing");
        assert_eq!(kind_with(&[("cookie", &other)], None, loopback), "token");
        assert_eq!(kind_with(&[("cookie", &cookie), ("cookie", &cookie)], None, loopback), "unreadable");
        assert_eq!(kind_with(&[("cookie", &other), ("x-api-key", &key)], None, loopback), "key");
        assert_eq!(kind_with(&[("cookie", &cookie), ("authorization", "x")], None, loopback), "unreadable");
    }
}
